#include "server/page.h"

#include <algorithm>
#include <string>

#include "api/content_decoder.h"
#include "server/page_files.h"
#include "server/web_ui.h"

namespace minerva {
namespace {

constexpr std::string_view kBelow = "/page/";

// The page's policy: everything that it needs comes from this server, no script or style is inline, and no other page
// may frame it.
constexpr std::string_view kPolicy =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const PageFile* find_file(std::string_view name) {
  const auto files = page_files();
  const auto found = std::find_if(files.begin(), files.end(), [&](const PageFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

std::string unpacked(std::string_view gzip) {
  std::string text;
  const auto decoder = api::make_decoder("gzip");
  if (!decoder) return text;
  (*decoder)->feed(gzip);
  for (auto piece = (*decoder)->next(); piece && !piece->empty(); piece = (*decoder)->next()) text += *piece;
  return text;
}

bool is_same(const std::string& seen, std::string_view etag) {
  return seen == "*" || seen.find(etag) != std::string::npos;  // a list of etags, each perhaps with "W/" in front
}

io::Task<void> file(Service&, Exchange& x, ModelId) {
  return answer_page(x, std::string_view(x.path).substr(std::min(kBelow.size(), x.path.size())));
}

}  // namespace

void add_page_routes(std::vector<Route>& table) {
  table.push_back({"GET", "/page/{path}", "a file of the page", file, /*open=*/true});
}

bool wants_page(const io::RequestHead& request) {
  const std::string* const accept = request.headers.find("accept");
  return accept != nullptr && accept->find("text/html") != std::string::npos;
}

bool accepts_gzip(const io::RequestHead& request) {
  const std::string* const field = request.headers.find("accept-encoding");
  std::string_view rest = field == nullptr ? std::string_view() : *field;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(item.size() + 1, rest.size()));
    std::string_view name = item.substr(0, item.find(';'));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!io::equal_ignoring_case(name, "gzip")) continue;
    // A weight of 0 ("q=0", "q=0.0") means that the client refuses gzip.
    const std::size_t weight = item.find("q=");
    return weight == std::string_view::npos || item.find_first_of("123456789", weight) != std::string_view::npos;
  }
  return false;
}

io::Task<void> answer_page(Exchange& x, std::string_view name) {
  const PageFile* const file = find_file(name);
  if (file == nullptr) {
    co_return co_await x.error({ErrorCode::kRouteNotFound, "The page has no such file; the page itself is at /."});
  }
  io::ResponseHead head;
  head.headers.add("ETag", std::string(file->etag));
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("Vary", "Accept, Accept-Encoding");
  head.headers.add("Content-Security-Policy", std::string(kPolicy));
  head.headers.add("X-Content-Type-Options", "nosniff");
  head.headers.add("Referrer-Policy", "no-referrer");
  head.headers.add("Cross-Origin-Resource-Policy", "same-origin");
  head.headers.add("x-request-id", x.request_id);
  const std::string* const seen = x.request.headers.find("if-none-match");
  if (seen != nullptr && is_same(*seen, file->etag)) {
    head.status = x.status = 304;
    co_await x.connection.respond(std::move(head), "");
    co_return;
  }
  head.headers.add("Content-Type", std::string(content_type_of(name)));
  head.status = x.status = 200;
  if (accepts_gzip(x.request)) {
    head.headers.add("Content-Encoding", "gzip");
    co_await x.connection.respond(std::move(head), file->gzip);
    co_return;
  }
  const std::string text = unpacked(file->gzip);
  co_await x.connection.respond(std::move(head), text);
}

}  // namespace minerva
