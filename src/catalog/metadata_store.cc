#include "catalog/metadata_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <variant>

#include "base/log.h"

namespace minerva {
namespace {

using nlohmann::json;

// Measurements of engines come in bursts.
constexpr Duration kPeriod = std::chrono::seconds(2);

// At least 1: 0 would mean that nothing is known.
std::uint64_t in_ms(Duration time) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(time).count(), 1));
}

// Texts that many entries share, each written once.
class SharedTexts {
 public:
  std::size_t number(const std::string& text) {
    const auto [it, is_new] = numbers_.emplace(text, texts_.size());
    if (is_new) texts_.push_back(text);
    return it->second;
  }
  json take() { return std::move(texts_); }

 private:
  json texts_ = json::array();
  std::map<std::string_view, std::size_t> numbers_;  // of texts that outlive this
};

json to_json(const MetadataValue& value) {
  return std::visit([](const auto& v) { return json(v); }, value);
}

json to_json(const ModelMetadata& metadata, SharedTexts& texts) {
  json object = {{"name", metadata.name},
                 {"architecture", metadata.architecture},
                 {"quantization", metadata.quantization},
                 {"parameters", metadata.parameters},
                 {"trained_context", metadata.trained_context},
                 {"context", metadata.context},
                 {"can_generate", metadata.can_generate},
                 {"can_embed", metadata.can_embed},
                 {"can_rerank", metadata.can_rerank},
                 {"can_infill", metadata.can_infill},
                 {"has_chat_template", metadata.has_chat_template},
                 {"multimodal", metadata.multimodal},
                 {"chat_template", texts.number(metadata.chat_template)},
                 {"supports_tools", metadata.supports_tools},
                 {"supports_thinking", metadata.supports_thinking},
                 {"input_modalities", metadata.input_modalities},
                 {"predicted_bytes", metadata.predicted.count()},
                 {"prompt_cache_bytes", metadata.prompt_cache.count()},
                 {"checkpoints_bytes", metadata.checkpoints.count()},
                 {"repacked_bytes", metadata.repacked.count()}};
  json& values = object["values"] = json::object();
  for (const auto& [key, value] : metadata.file_values) values[key] = to_json(value);
  object["layers"] = metadata.layers;
  for (const auto& [name, list] : {std::pair("predicted_on_devices", &metadata.predicted_on_devices),
                                   std::pair("measured_on_devices", &metadata.measured_on_devices)}) {
    for (const auto& [device, bytes] : *list) object[name][device] = bytes.count();
  }
  if (metadata.measured) object["measured_bytes"] = metadata.measured->count();
  if (metadata.residue) object["residue_bytes"] = metadata.residue->count();
  if (metadata.load_time) object["load_ms"] = in_ms(*metadata.load_time);
  if (metadata.wake_time) object["wake_ms"] = in_ms(*metadata.wake_time);
  return object;
}

struct Damaged : std::runtime_error {
  using runtime_error::runtime_error;
};

// Throws json::exception, Damaged. The library converts numbers without a check: a number that does not fit is
// undefined behaviour.
template <typename Number>
Number number_of(const json& object, const char* name) {
  const json& value = object.at(name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<Number>::max()) {
    throw Damaged(fmt::format("{} is out of range", name));
  }
  return value.get<Number>();
}

// A member that may be absent. Throws json::exception, Damaged.
std::optional<Bytes> bytes_of(const json& object, const char* name) {
  if (!object.contains(name)) return std::nullopt;
  const Bytes bytes(number_of<std::uint64_t>(object, name));
  if (bytes == Bytes()) throw Damaged(fmt::format("{} is zero", name));
  return bytes;
}

// Empty if it is absent. Throws json::exception, Damaged.
DeviceBytes device_bytes_of(const json& object, const char* name) {
  DeviceBytes result;
  if (!object.contains(name)) return result;
  const json& list = object.at(name);
  for (const auto& [device, value] : list.items()) {
    result[device] = Bytes(number_of<std::uint64_t>(list, device.c_str()));
  }
  return result;
}

std::optional<Duration> time_of(const json& object, const char* name) {
  if (!object.contains(name)) return std::nullopt;
  const auto ms = number_of<std::uint32_t>(object, name);
  if (ms == 0) throw Damaged(fmt::format("{} is zero", name));
  return std::chrono::milliseconds(ms);
}

// Throws json::exception, Damaged.
MetadataValue value_from_json(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_float()) return value.get<double>();
  if (!value.is_number_integer()) return value.get<std::string>();
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
    throw Damaged("a value is out of range");
  }
  return value.get<std::int64_t>();
}

// Throws json::exception, Damaged.
ModelMetadata from_json(const json& object, const json& texts) {
  ModelMetadata metadata;
  object.at("name").get_to(metadata.name);
  object.at("architecture").get_to(metadata.architecture);
  object.at("quantization").get_to(metadata.quantization);
  metadata.parameters = number_of<std::uint64_t>(object, "parameters");
  metadata.trained_context = number_of<unsigned>(object, "trained_context");
  metadata.context = number_of<unsigned>(object, "context");
  object.at("can_generate").get_to(metadata.can_generate);
  object.at("can_embed").get_to(metadata.can_embed);
  object.at("can_rerank").get_to(metadata.can_rerank);
  object.at("can_infill").get_to(metadata.can_infill);
  object.at("has_chat_template").get_to(metadata.has_chat_template);
  object.at("multimodal").get_to(metadata.multimodal);
  texts.at(number_of<std::size_t>(object, "chat_template")).get_to(metadata.chat_template);
  object.at("supports_tools").get_to(metadata.supports_tools);
  object.at("supports_thinking").get_to(metadata.supports_thinking);
  object.at("input_modalities").get_to(metadata.input_modalities);
  for (const auto& [key, value] : object.at("values").items()) metadata.file_values[key] = value_from_json(value);
  metadata.predicted = Bytes(number_of<std::uint64_t>(object, "predicted_bytes"));
  if (metadata.predicted == Bytes()) throw Damaged("a model takes no memory");
  metadata.prompt_cache = Bytes(number_of<std::uint64_t>(object, "prompt_cache_bytes"));
  metadata.checkpoints = Bytes(number_of<std::uint64_t>(object, "checkpoints_bytes"));
  metadata.repacked = Bytes(number_of<std::uint64_t>(object, "repacked_bytes"));
  metadata.layers = number_of<unsigned>(object, "layers");
  metadata.predicted_on_devices = device_bytes_of(object, "predicted_on_devices");
  metadata.measured_on_devices = device_bytes_of(object, "measured_on_devices");
  metadata.measured = bytes_of(object, "measured_bytes");
  metadata.residue = bytes_of(object, "residue_bytes");
  metadata.load_time = time_of(object, "load_ms");
  metadata.wake_time = time_of(object, "wake_ms");
  return metadata;
}

}  // namespace

MetadataStore::MetadataStore(const std::string& file, io::Loop* loop, io::Files& files) {
  if (file.empty()) return;
  file_.emplace(file, kFormat, files);
  if (const auto text = file_->read()) take(*text);
  if (loop != nullptr) saver_.emplace(*loop, *file_, kPeriod, [this] { return content(); });
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
  changed();
}

void MetadataStore::clear() {
  entries_.clear();
  order_.clear();
  changed();
}

void MetadataStore::finish() {
  if (saver_) saver_->finish();
}

void MetadataStore::take(const std::string& content) {
  try {
    const json data = json::parse(content);
    const json& texts = data.at("texts");
    for (const json& entry : data.at("entries")) {
      const auto& key = entry.at("key").get_ref<const std::string&>();
      if (order_.size() < kMaxEntries && entries_.emplace(key, from_json(entry.at("metadata"), texts)).second) {
        order_.push_back(key);
      }
    }
  } catch (const std::exception& damaged) {
    entries_.clear();
    order_.clear();
    file_->set_aside(fmt::format("it is damaged ({})", damaged.what()));
  }
}

void MetadataStore::changed() {
  if (saver_) return saver_->changed();
  if (!file_) return;
  if (const Result<void> written = file_->write(content()); !written) log::warn("{}", written.error().message);
}

std::string MetadataStore::content() const {
  json entries = json::array();
  SharedTexts texts;
  for (const std::string& key : order_) {
    entries.push_back({{"key", key}, {"metadata", to_json(entries_.at(key), texts)}});
  }
  // Paths need not be UTF-8. Such a key is not found again, which costs one inspection.
  const json all = {{"entries", std::move(entries)}, {"texts", texts.take()}};
  return all.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace minerva
