// FileReadAhead: has the kernel read models' files into its page cache before engines want them.
//
// Files are read in pieces, one file after the other. Advice alone (POSIX_FADV_WILLNEED) is not enough: of each advice
// the kernel takes only as much as its own read-ahead has, however much was named. The files of a model that will be
// loaded as soon as there is room are read without a pause. Those of a model that is only likely to be asked for are
// read only while nothing else goes on, and only into memory that nobody uses, not even as page cache, so that they
// push nothing out. A file that cannot be read further is given up.
// Threading: the loop's thread. Other threads open and read the files, and nobody waits for them. Ownership: the Loop
// outlives it. If it is destroyed during a piece, that piece is still read to its end.
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
  // `nothing_goes_on` is asked before each piece. `spare` returns the memory that nobody uses, beyond what is to stay
  // free; another thread calls it.
  FileReadAhead(io::Loop& loop, std::function<bool()> nothing_goes_on, std::function<Bytes()> spare);
  ~FileReadAhead() { *alive_ = false; }

  // Takes effect at the next piece.
  void set_spare(std::function<Bytes()> spare) { spare_ = std::move(spare); }
  void read(const std::vector<std::string>& files);
  void read_if_idle(const std::vector<std::string>& files);

  // How much read_if_idle() has had read so far.
  Bytes read_idly() const { return read_idly_; }

 private:
  struct Position {
    std::deque<std::string> files;  // the first one is being read
    std::uint64_t offset = 0;
    bool under_way = false;  // a piece of it is being read

    void add(const std::vector<std::string>& more);
  };
  // The outcome of reading a piece.
  struct Piece {
    bool no_room = false;
    Bytes bytes;
    bool file_ends = false;
  };
  // An empty `spare` means: read it however little memory is free.
  static Piece read_piece(const std::string& path, std::uint64_t offset, const std::function<Bytes()>& spare);
  // Reads the next piece of `position`, then calls `done`.
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
