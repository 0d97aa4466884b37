// What the store does on the disk: finds the segments that are there, makes files, and removes them.
//
// Threading: any thread; calls block. It keeps nothing in memory.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "conversations/segment_table.h"
#include "io/descriptor.h"
#include "io/files.h"
#include "minerva/base/bytes.h"

namespace minerva::conversations {

struct FoundOnDisk {
  SegmentTable::Segments segments;
  Bytes free;  // on the file system
};

// Finds the segments below `root`. Removes the temporaries of an earlier process, and the folders of tenants that are
// empty; a model's folder may just have been made. Names of another form, links, and files of other users are left
// alone.
FoundOnDisk find_segments(const std::string& root, io::Files& files);

// The free space on the file system of `folder`, or of its nearest parent that exists.
Bytes free_on_disk(const std::string& folder);

// Makes the folders `root` and `root`/`name`, with mode 0700, which those that are there get too. false: errno says
// why.
bool make_folder(const std::string& root, const std::string& name);

// An empty file that has no name yet, to read and write, with mode 0600. If no name is given to it, nothing is left of
// it.
class NewFile {
 public:
  // In `folder`. On failure there is no descriptor, and errno says why.
  static NewFile make(const std::string& folder, io::Files& files);
  NewFile(NewFile&& other) noexcept
      : files_(other.files_), file_(std::move(other.file_)), temporary_(std::exchange(other.temporary_, {})) {}
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  // -1: there is none.
  int descriptor() const { return *file_; }
  Bytes size() const;
  // Syncs the file, and gives it the name `folder`/`name`, which is on disk when this returns. Makes `folder`, in the
  // folder of make(). A file that has the name is replaced as a whole. 0, or the kernel's error.
  int keep(const std::string& folder, const std::string& name);

 private:
  NewFile(io::Files& files, io::Descriptor file, std::string temporary)
      : files_(&files), file_(std::move(file)), temporary_(std::move(temporary)) {}
  int give_name(const std::string& path);

  io::Files* files_;
  io::Descriptor file_;
  // Its path, on a file system that has no files without names, or while it replaces another one; empty otherwise.
  std::string temporary_;
};

struct NotRemoved {
  std::set<std::string> paths;  // of files that are still there
  int error = 0;                // the kernel's, of the first one
};
// Removes the files; then, if `folders`, their folders and `root`, where nothing else is in them.
NotRemoved remove_files(const std::string& root, const std::vector<std::string>& paths, bool folders, io::Files& files);

}  // namespace minerva::conversations
