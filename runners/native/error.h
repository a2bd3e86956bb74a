// The one kind of failure: a message for the user. main() prints it and exits with 2.
#pragma once

#include <stdexcept>
#include <string>

namespace bibench {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

#if defined(__GNUC__)
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
#else
[[noreturn]] void fail(const char* format, ...);
#endif

}  // namespace bibench
