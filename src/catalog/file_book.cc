#include "catalog/file_book.h"

#include <fmt/format.h>

#include <exception>
#include <nlohmann/json.hpp>

#include "engine/inspection.h"

namespace minerva {

using nlohmann::json;

FileBook read_file_book(const io::StateFile& file) {
  FileBook book;
  const auto text = file.read();
  if (!text) return book;
  try {
    const json data = json::parse(*text);
    for (const auto& [place, note] : data.at("files").items()) {
      book[place] = {note.at("id").get<std::string>(),
                     find_file_kind(note.at("kind").get<std::string>()).value_or(FileKind::kModel),
                     note.at("identity").get<std::string>(), note.value("stem_is_alias", false)};
    }
  } catch (const std::exception& damaged) {
    book.clear();
    file.set_aside(fmt::format("it is damaged ({})", damaged.what()));
  }
  return book;
}

std::string file_book_text(const FileBook& book) {
  json files = json::object();
  for (const auto& [place, note] : book) {
    files[place] = {{"id", note.id}, {"kind", file_kind_name(note.kind)}, {"identity", note.identity}};
    if (note.stem_is_alias) files[place]["stem_is_alias"] = true;
  }
  // Paths need not be UTF-8. Such a file counts as new after a restart.
  return json({{"files", std::move(files)}}).dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace minerva
