// Text as JSON.
#pragma once

#include <cstdint>
#include <string>

namespace bibench {

// In quotes. A model's names need no escapes but these two: what is below a space is left out.
inline std::string quoted(const char* text) {
  std::string result = "\"";
  for (; *text != 0; text++) {
    if (*text == '"' || *text == '\\') result += '\\';
    if (uint8_t(*text) >= 32) result += *text;
  }
  return result + '"';
}

}  // namespace bibench
