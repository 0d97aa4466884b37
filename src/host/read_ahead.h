// ReadAhead of files: has the kernel read models' files into its page cache before engines want them.
//
// Files are read, a piece at a time, one after the other: of advice (POSIX_FADV_WILLNEED) the kernel takes as much as
// its own read-ahead has at once, however much it was about. Those of a model that will be loaded as soon as there is
// room are read without a pause. Those of one that is only likely to be asked for, only while nothing else goes on and
// there is memory that nobody uses at all, not even as page cache: so it pushes nothing out. What cannot go on is given
// up. Threading: the loop's thread; files are opened and read on others, which nobody waits for. Ownership: the Loop
// outlives it; once it is gone, the piece under way is read to its end.
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
  void read(const std::vector<std::string>& files);
  void read_if_idle(const std::vector<std::string>& files);

  // Read so far for read_if_idle().
  Bytes read_idly() const { return read_idly_; }

 private:
  struct Position {
    std::deque<std::string> files;  // the first one is being read
    std::uint64_t offset = 0;
    bool under_way = false;  // a piece of it

    void add(const std::vector<std::string>& more);
  };
  // What became of a piece.
  struct Piece {
    bool no_room = false;
    Bytes bytes;
    bool file_ends = false;
  };
  // `spare`: nothing to read it whatever there is.
  static Piece read_piece(const std::string& path, std::uint64_t offset, const std::function<Bytes()>& spare);
  // The next one of `position`, then `done`.
  void start_piece(Position& position, std::function<Bytes()> spare, std::function<void(const Piece&)> done);
  void next_piece();
  void next_piece_if_idle();

  io::Loop& loop_;
  std::function<bool()> nothing_goes_on_;
  std::function<Bytes()> spare_;
  io::Timer pause_;
  Position wanted_;
  Position likely_;
  Bytes read_idly_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace minerva
