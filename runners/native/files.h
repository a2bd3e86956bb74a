// Files of raw numbers: read, and written so that they are whole or not there.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

namespace bibench {

struct Close {
  void operator()(FILE* file) const { fclose(file); }
};
using File = std::unique_ptr<FILE, Close>;

// An Error where it can't be opened.
File open_file(const std::string& path, const char* mode);

// A file that is written beside its place and takes its name when it is whole. What is in its place stays until then,
// and for good if it is not kept. A pipe or a device is written where it is: nothing can take its name.
class NewFile {
 public:
  explicit NewFile(const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // An Error where the disk is full or fails.
  void write(const float* data, size_t count);
  // All that was written has left this process; only keep() is to come.
  void close();
  void keep();

 private:
  void check(bool done) const;

  std::string path_, place_, beside_;  // as it was named; where a link leads; empty where there is nothing to remove
  File file_;
};

}  // namespace bibench
