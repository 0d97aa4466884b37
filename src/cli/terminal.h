// What goes to a person's terminal: aligned tables, a progress line, text that cannot take the terminal over.
//
// Threading: one thread. Pipes get no colours and no progress.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace minerva::cli {

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();
// stdout is a terminal that takes colours, and nobody objects (NO_COLOR, TERM=dumb).
bool stdout_has_colour();

// Without control characters but line ends and tabs: what models, files and engines say is not to be trusted.
std::string printable(std::string_view text);

// How many columns `text` (UTF-8) takes, counting one per code point.
std::size_t columns(std::string_view text);

// Rows under headings, columns two spaces apart, no spaces at line ends.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string heading;
    Align align = Align::kLeft;
  };
  explicit Table(std::vector<Column> columns_of_table) : columns_(std::move(columns_of_table)) {}

  // Requires: as many cells as columns.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  std::string text(bool bold_headings) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "[#####.....]  42%" for 0.42.
std::string progress_bar(double fraction, std::size_t width);

// One line on stderr that is written over, and gone in the end. Silent when stderr is no terminal.
class StatusLine {
 public:
  StatusLine() = default;
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  ~StatusLine() { clear(); }

  void show(std::string_view text);
  void clear();

 private:
  std::string shown_;
};

// "loading 42%", "waking" or "reading 31% of 12000 tokens", the server's comment while an answer has not begun, as a
// status line; nothing to show if it is another comment.
std::string describe_progress(std::string_view comment, std::string_view model);

// For people: "12,000", "135M", "1.5 s", "3 min ago".
std::string format_thousands(double count);
std::string format_count(double count);
std::string format_seconds(double seconds);
std::string format_ago(double seconds);

}  // namespace minerva::cli
