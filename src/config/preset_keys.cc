// The table of the keys of presets.
#include <fmt/format.h>

#include "config/config_table.h"
#include "config/toml_text.h"
#include "config/values.h"

namespace minerva {
namespace {

template <typename At>
PresetRow values_row(std::string name, std::string meaning, At at) {
  PresetRow row{std::move(name), "", "table", TomlKind::kTable, std::move(meaning), {}, {}};
  row.set = [=](api::Preset& preset, const Values& values, const std::string&) -> Result<void> {
    auto parsed = api::parse_preset_values(values.front());
    if (!parsed) return fail(parsed.error());
    at(preset) = *std::move(parsed);
    return {};
  };
  row.get = [=](const api::Preset& preset) {
    return at(preset).empty() ? Values{} : Values{api::preset_json(at(preset))};
  };
  row.default_text = "none";
  return row;
}

std::vector<PresetRow> make_preset_rows() {
  std::vector<PresetRow> rows;
  rows.push_back({"model", "", "text", TomlKind::kText,
                  "Whose weights and engine it uses: a model's name or alias, not a preset's.",
                  [](api::Preset& preset, const Values& values, const std::string&) -> Result<void> {
                    if (!is_model_id(values.front())) {
                      return fail(ErrorCode::kInvalidArgument,
                                  fmt::format("\"{}\" cannot be a model's name", values.front()));
                    }
                    preset.model = values.front();
                    return {};
                  },
                  [](const api::Preset& preset) { return Values{preset.model}; }, "none: it is needed"});
  rows.push_back({"aliases", "", "list of text", TomlKind::kList, "Other names for it.",
                  [](api::Preset& preset, const Values& values, const std::string&) -> Result<void> {
                    if (const auto checked = check_names(values); !checked) return checked;
                    preset.aliases = values;
                    return {};
                  },
                  [](const api::Preset& preset) { return preset.aliases; }, "none"});
  rows.push_back({"strip", "", "list of text", TomlKind::kList,
                  "What a request loses first, by name. Names that mean the same (max_tokens, max_completion_tokens, "
                  "max_output_tokens, n_predict) count as one, here and below.",
                  [](api::Preset& preset, const Values& values, const std::string&) -> Result<void> {
                    if (const auto allowed = api::check_strip(values); !allowed) return allowed;
                    preset.strip = values;
                    return {};
                  },
                  [](const api::Preset& preset) { return preset.strip; }, "none"});
  rows.push_back(values_row("default", "What counts then where a request says nothing: { temperature = 0.2 }.",
                            [](auto& preset) -> auto& { return preset.defaults; }));
  rows.push_back(values_row("set",
                            "What counts then whatever a request says; a table is merged with the request's, as deep "
                            "as both go.",
                            [](auto& preset) -> auto& { return preset.set; }));
  rows.push_back({"system", "", "text", TomlKind::kText,
                  "The system prompt of requests that have none: a message, \"system\" or \"instructions\", as the API "
                  "has it. Not for raw completions.",
                  [](api::Preset& preset, const Values& values, const std::string&) -> Result<void> {
                    preset.system = values.front();
                    return {};
                  },
                  [](const api::Preset& preset) { return preset.system.empty() ? Values{} : Values{preset.system}; },
                  "none"});
  return rows;
}

}  // namespace

const std::vector<PresetRow>& preset_rows() {
  static const std::vector<PresetRow> rows = make_preset_rows();
  return rows;
}

}  // namespace minerva
