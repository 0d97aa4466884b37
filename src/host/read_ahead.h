// ReadAhead of files: has the kernel read models' files into its page cache before engines want them.
//
// Of a model that will be loaded as soon as there is room, at once. Of one that is only likely to be asked for, a piece
// at a time, one model after the other, and only while nothing else goes on and there is memory that nobody uses at
// all, not even as page cache: so it pushes nothing out. What cannot go on is given up.
// Threading: the loop's thread; files are opened and read on others, which nobody waits for. Ownership: the Loop
// outlives it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/loop.h"
#include "minerva/base/bytes.h"

namespace minerva {

class FileReadAhead {
 public:
  // `nothing_goes_on` is asked before each piece. `spare`: the memory that nobody uses, beyond what is to stay free; it
  // is called on another thread.
  FileReadAhead(io::Loop& loop, std::function<bool()> nothing_goes_on, std::function<Bytes()> spare);
  ~FileReadAhead() { *alive_ = false; }

  // Counts from the next piece on.
  void set_spare(std::function<Bytes()> spare) { spare_ = std::move(spare); }
  void read(std::vector<std::string> files);
  void read_if_idle(std::vector<std::string> files);

  // Asked for so far by read_if_idle().
  Bytes read_idly() const { return read_idly_; }

 private:
  struct Position {
    std::deque<std::string> files;  // the first one is being read
    std::uint64_t offset = 0;
  };
  // What became of a piece.
  struct Piece {
    bool no_room = false;
    Bytes bytes;
    bool file_ends = false;
  };
  static Piece read_piece(const std::string& path, std::uint64_t offset, const std::function<Bytes()>& spare);
  void next_piece();
  void done(const Piece& piece);

  io::Loop& loop_;
  std::function<bool()> nothing_goes_on_;
  std::function<Bytes()> spare_;
  io::Timer pause_;
  Position position_;
  bool under_way_ = false;
  Bytes read_idly_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
