#include "catalog/metadata_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/log.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Of the file's shape. Another one's file is not read.
constexpr int kSchema = 2;
constexpr std::uintmax_t kMaxFileBytes = 16U << 20;

// Never nothing.
std::uint64_t in_ms(Duration time) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(time).count(), 1));
}

json to_json(const ModelMetadata& metadata) {
  json object = {{"architecture", metadata.architecture},
                 {"quantization", metadata.quantization},
                 {"parameters", metadata.parameters},
                 {"trained_context", metadata.trained_context},
                 {"context", metadata.context},
                 {"can_generate", metadata.can_generate},
                 {"can_embed", metadata.can_embed},
                 {"can_rerank", metadata.can_rerank},
                 {"has_chat_template", metadata.has_chat_template},
                 {"multimodal", metadata.multimodal},
                 {"predicted_bytes", metadata.predicted.count()},
                 {"conversations_bytes", metadata.conversations.count()}};
  if (metadata.measured) object["measured_bytes"] = metadata.measured->count();
  if (metadata.residue) object["residue_bytes"] = metadata.residue->count();
  if (metadata.load_time) object["load_ms"] = in_ms(*metadata.load_time);
  if (metadata.wake_time) object["wake_ms"] = in_ms(*metadata.wake_time);
  return object;
}

struct Damaged : std::runtime_error {
  using runtime_error::runtime_error;
};

// Throws json::exception, Damaged. The library converts numbers unchecked: what does not fit is undefined behaviour.
template <typename Number>
Number number_of(const json& object, const char* name) {
  const json& value = object.at(name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<Number>::max()) {
    throw Damaged(fmt::format("{} is out of range", name));
  }
  return value.get<Number>();
}

// Of a member that may be absent. Throws json::exception, Damaged.
std::optional<Bytes> bytes_of(const json& object, const char* name) {
  if (!object.contains(name)) return std::nullopt;
  const Bytes bytes(number_of<std::uint64_t>(object, name));
  if (bytes == Bytes()) throw Damaged(fmt::format("{} is zero", name));
  return bytes;
}

std::optional<Duration> time_of(const json& object, const char* name) {
  if (!object.contains(name)) return std::nullopt;
  const auto ms = number_of<std::uint32_t>(object, name);
  if (ms == 0) throw Damaged(fmt::format("{} is zero", name));
  return std::chrono::milliseconds(ms);
}

// Throws json::exception, Damaged.
ModelMetadata from_json(const json& object) {
  ModelMetadata metadata;
  object.at("architecture").get_to(metadata.architecture);
  object.at("quantization").get_to(metadata.quantization);
  metadata.parameters = number_of<std::uint64_t>(object, "parameters");
  metadata.trained_context = number_of<unsigned>(object, "trained_context");
  metadata.context = number_of<unsigned>(object, "context");
  object.at("can_generate").get_to(metadata.can_generate);
  object.at("can_embed").get_to(metadata.can_embed);
  object.at("can_rerank").get_to(metadata.can_rerank);
  object.at("has_chat_template").get_to(metadata.has_chat_template);
  object.at("multimodal").get_to(metadata.multimodal);
  metadata.predicted = Bytes(number_of<std::uint64_t>(object, "predicted_bytes"));
  if (metadata.predicted == Bytes()) throw Damaged("a model takes no memory");
  metadata.conversations = Bytes(number_of<std::uint64_t>(object, "conversations_bytes"));
  metadata.measured = bytes_of(object, "measured_bytes");
  metadata.residue = bytes_of(object, "residue_bytes");
  metadata.load_time = time_of(object, "load_ms");
  metadata.wake_time = time_of(object, "wake_ms");
  return metadata;
}

}  // namespace

MetadataStore::MetadataStore(std::string file) : file_(std::move(file)) {
  if (!file_.empty()) read();
}

const ModelMetadata* MetadataStore::find(const std::string& key) const {
  const auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : &it->second;
}

void MetadataStore::put(const std::string& key, const ModelMetadata& metadata) {
  if (entries_.insert_or_assign(key, metadata).second) order_.push_back(key);
  while (order_.size() > kMaxEntries) {
    entries_.erase(order_.front());
    order_.pop_front();
  }
  if (!file_.empty()) write();
}

void MetadataStore::read() {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file_, error);
  if (error == std::errc::no_such_file_or_directory) return;
  if (error || size > kMaxFileBytes) {
    log::warn("{} is ignored: it cannot be read; models will be inspected again", file_);
    return;
  }
  try {
    std::ifstream in(file_, std::ios::binary);
    const json data = json::parse(in);
    if (data.at("schema") != kSchema) return;  // of another version: not damaged
    for (const json& entry : data.at("entries")) {
      const auto& key = entry.at("key").get_ref<const std::string&>();
      if (order_.size() < kMaxEntries && entries_.emplace(key, from_json(entry.at("metadata"))).second) {
        order_.push_back(key);
      }
    }
  } catch (const std::exception& damaged) {
    entries_.clear();
    order_.clear();
    log::warn("{} is ignored: it is damaged ({}); models will be inspected again", file_, damaged.what());
  }
}

void MetadataStore::write() const {
  json entries = json::array();
  for (const std::string& key : order_) entries.push_back({{"key", key}, {"metadata", to_json(entries_.at(key))}});
  const json data = {{"schema", kSchema}, {"entries", std::move(entries)}};

  // Complete or not at all: written beside it and renamed.
  const std::string temporary = fmt::format("{}.{}", file_, ::getpid());
  std::error_code error;
  fs::create_directories(fs::path(file_).parent_path(), error);
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  // Paths need not be UTF-8; such a key will not be found again, which costs an inspection.
  out << data.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
  out.close();
  if (out) fs::rename(temporary, file_, error);
  if (!out || error) {
    fs::remove(temporary, error);
    log::warn("cannot write {}: models will be inspected again after a restart", file_);
  }
}

}  // namespace minerva
