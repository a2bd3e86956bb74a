#include "files.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

namespace bibench {

File open_file(const std::string& path, const char* mode) {
  File file(fopen(path.c_str(), mode));
  if (!file) fail("%s: %s", path.c_str(), strerror(errno));
  return file;
}

NewFile::NewFile(const std::string& path) : path_(path), place_(path) {
  struct stat status;
  const bool there = stat(path.c_str(), &status) == 0;
  if (there && S_ISDIR(status.st_mode)) fail("%s: %s", path.c_str(), strerror(EISDIR));
  if (there && !S_ISREG(status.st_mode)) {
    file_ = open_file(path, "wb");
    return;
  }
  if (there) {
    // A link stays a link: what it leads to is replaced.
    if (char* real = realpath(path.c_str(), nullptr)) place_ = real, free(real);
  }
  const std::string beside = place_ + "." + std::to_string(getpid()) + ".tmp";
  file_.reset(fopen(beside.c_str(), "wb"));
  check(file_ != nullptr);
  beside_ = beside;
}

NewFile::~NewFile() {
  if (!beside_.empty()) unlink(beside_.c_str());
}

void NewFile::check(bool done) const {
  if (!done) fail("%s: can't be written: %s", path_.c_str(), strerror(errno));
}

void NewFile::write(const float* data, size_t count) { check(fwrite(data, 4, count, file_.get()) == count); }

void NewFile::close() { check(fclose(file_.release()) == 0); }

void NewFile::keep() {
  if (beside_.empty()) return;
  check(rename(beside_.c_str(), place_.c_str()) == 0);
  beside_.clear();
}

}  // namespace bibench
