// Output to a person's terminal: aligned tables, a line of progress, and text without control characters.
//
// Threading: one thread. A pipe gets no colours and no progress.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace minerva::cli {

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();
// Whether stdout is a terminal with colours, and nothing forbids them (NO_COLOR, TERM=dumb).
bool stdout_has_colour();

// The text without control characters, except for line ends and tabs: what models, files and engines write is not to be
// trusted.
std::string printable(std::string_view text);

// How many columns `text` (UTF-8) takes, where each code point counts as one.
std::size_t columns(std::string_view text);

// Rows under headings. Columns are two spaces apart, and no line ends with spaces.
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

// One line on stderr that is written over, and removed at the end. Silent if stderr is no terminal.
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

// The line of progress for a comment of the server: "loading 42%", "waking" or "reading 31% of 12000 tokens". Empty for
// any other comment.
std::string describe_progress(std::string_view comment, std::string_view model);

// For people: "12,000", "135M", "1.5 s", "3 min ago".
std::string format_thousands(double count);
std::string format_count(double count);
std::string format_seconds(double seconds);
std::string format_ago(double seconds);

}  // namespace minerva::cli
