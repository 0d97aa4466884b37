// minerva top: shows what the server does, and can cancel a request.
#include "cli/top.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "api/query.h"
#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

constexpr std::chrono::milliseconds kRefresh(1000);
constexpr std::string_view kHelp = "q: quit   up, down: select   c: cancel";

// Set by a signal that ends the program. The program then restores the terminal.
std::atomic<bool> ended = false;
static_assert(std::atomic<bool>::is_always_lock_free);

// Takes the whole terminal while it exists: keys come one by one without an echo. Its destructor restores what was
// there.
class Screen {
 public:
  Screen() {
    struct sigaction action{};
    action.sa_handler = [](int) { ended = true; };
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &previous_[i]);
    ::tcgetattr(STDIN_FILENO, &settings_);
    termios keys = settings_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    put("\033[?1049h\033[?25l");
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() {
    put("\033[?25h\033[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSANOW, &settings_);
    for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &previous_[i], nullptr);
  }

  // `last`: the screen's last line.
  static void draw(const std::string& text, const std::string& last) {
    constexpr std::size_t kRows = 24;
    constexpr std::size_t kColumns = 80;
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 0;
    const std::size_t rows = known ? size.ws_row : kRows;
    const std::size_t columns = known ? size.ws_col : kColumns;
    std::string out = "\033[H";
    for (const char c : fitted(text, rows - 2, columns))
      out += c == '\n' ? std::string("\033[K\r\n") : std::string(1, c);
    put(out + "\033[J\r\n" + fitted(last, 1, columns));
  }

  // Adds the keys that are typed within `limit`. false: there will be no more.
  static bool read_keys(std::string& typed, std::chrono::milliseconds limit) {
    pollfd waiting{STDIN_FILENO, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(limit.count())) <= 0) return true;
    std::array<char, 64> keys{};
    const ssize_t count = ::read(STDIN_FILENO, keys.data(), keys.size());
    if (count > 0) typed.append(keys.data(), static_cast<std::size_t>(count));
    return count > 0;
  }

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};

  static void put(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  termios settings_{};
  std::array<struct sigaction, kSignals.size()> previous_{};
};

Result<nlohmann::json> get(HttpClient& client, const char* path) {
  const Result<std::string> answer = client.call({"GET", path, {}, {}});
  if (!answer) return fail(answer.error());
  return parse_answer(*answer);
}

// The screen, and the keys that a person presses.
class Top {
 public:
  explicit Top(HttpClient& client) : client_(client) {}

  // Asks the server. Errors: the server's; the last answers stay then.
  Result<void> refresh() {
    Result<nlohmann::json> stats = get(client_, "/v1/models/stats");
    if (!stats) return fail(stats.error());
    Result<nlohmann::json> requests = get(client_, "/v1/requests");
    if (!requests) return fail(requests.error());
    stats_ = *std::move(stats);
    requests_ = *std::move(requests);
    return {};
  }

  std::string text(bool colour, bool marked) const {
    TopLook look;
    look.colour = colour;
    if (marked) look.selected = selected_;
    return top_text(stats_, requests_, look);
  }

  // Runs until the user quits.
  void watch() {
    const Screen screen;
    std::string typed;
    auto next = std::chrono::steady_clock::now() + kRefresh;
    while (!ended) {
      select(0);
      Screen::draw(text(stdout_has_colour(), /*marked=*/true), last_line());
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - std::chrono::steady_clock::now());
      if (!Screen::read_keys(typed, std::max(left, std::chrono::milliseconds(0)))) return;
      for (Key key = take_key(typed); key != Key::kNone; key = take_key(typed)) {
        if (!press(key)) return;
      }
      if (std::chrono::steady_clock::now() < next) continue;
      next = std::chrono::steady_clock::now() + kRefresh;
      const Result<void> done = refresh();
      if (!done) note_ = printable(done.error().message);
      if (done && note_is_error_) note_.clear();
      note_is_error_ = !done;
    }
  }

 private:
  void select(int step) { selected_ = moved(shown_ids(requests_), selected_, step); }

  std::string last_line() const {
    if (!asked_.empty()) return fmt::format("Cancel {}? y: yes, any other key: no", printable(asked_));
    return note_.empty() ? std::string(kHelp) : note_;
  }

  // false: the user quits.
  bool press(Key key) {
    if (!asked_.empty()) {
      const std::string id = std::exchange(asked_, {});
      if (key == Key::kYes) cancel(id);
      return true;
    }
    note_.clear();
    if (key == Key::kUp) select(-1);
    if (key == Key::kDown) select(1);
    if (key == Key::kCancel) asked_ = selected_;
    return key != Key::kQuit;
  }

  void cancel(const std::string& id) {
    const Result<std::string> done = client_.call({"DELETE", "/v1/requests/" + api::percent_encode(id), {}, {}});
    note_ = done ? fmt::format("{} is cancelled.", printable(id)) : printable(done.error().message);
  }

  HttpClient& client_;
  nlohmann::json stats_;
  nlohmann::json requests_;
  std::string selected_;
  std::string asked_;  // the request that the user is asked about: cancel it?
  std::string note_;
  bool note_is_error_ = false;
};

Result<void> top(HttpClient& client, const Session& session, bool once) {
  if (session.json) return show(session, client.call({"GET", "/v1/requests", {}, {}}), {});
  Top shown(client);
  if (Result<void> done = shown.refresh(); !done) return done;
  if (once || !stdin_is_terminal() || !stdout_is_terminal()) {
    fmt::print("{}", shown.text(stdout_has_colour(), /*marked=*/false));
    return {};
  }
  shown.watch();
  return {};
}

}  // namespace

void add_top(CLI::App& app, Session& session) {
  auto once = std::make_shared<bool>(false);
  CLI::App* command = add_command(app, session, "top", "Watch memory and requests; cancel one",
                                  [once](HttpClient& client, Session& current) { return top(client, current, *once); });
  command->add_flag("--once", *once, "Print it once, as without a terminal");
}

}  // namespace minerva::cli
