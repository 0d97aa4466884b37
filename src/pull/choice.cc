#include "pull/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "catalog/model_files.h"
#include "catalog/names.h"

namespace minerva::pull {
namespace {

constexpr Bytes kForComputing = Bytes::mib(256);
constexpr std::size_t kMostNamed = 12;  // choices that a sentence names

Bytes expected_memory(Bytes size) { return size + Bytes(size.count() / 8) + kForComputing; }

Fit fit_of(Bytes size, Bytes budget) {
  if (expected_memory(size) <= budget) return Fit::kFits;
  return size <= budget ? Fit::kFitsSmaller : Fit::kDoesNotFit;
}

std::string base_name(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }
std::string folder_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash));
}

// Ranks projectors by their type of numbers: engines are fastest with the 16-bit types, and any type is better than
// none.
int projector_rank(const std::string& path) {
  const std::string name = lower_case(base_name(path));
  constexpr std::array<std::string_view, 4> kOrder = {"-f16", "bf16", "q8_0", "f32"};
  for (std::size_t i = 0; i < kOrder.size(); ++i) {
    if (name.find(kOrder[i]) != std::string::npos) return static_cast<int>(i);
  }
  return name.find("f16") != std::string::npos ? 0 : static_cast<int>(kOrder.size());
}

// The projector for a model in `folder`: one in the same folder, else one at the top.
const RemoteFile* find_projector(const std::vector<const RemoteFile*>& projectors, const std::string& folder) {
  const RemoteFile* best = nullptr;
  const auto key = [&](const RemoteFile& file) {
    return std::tuple(folder_of(file.path) != folder, projector_rank(file.path), file.path);
  };
  for (const RemoteFile* const file : projectors) {
    const std::string where = folder_of(file->path);
    if (where != folder && !where.empty()) continue;
    if (best == nullptr || key(*file) < key(*best)) best = file;
  }
  return best;
}

struct Draft {
  const RemoteFile* file;
  std::string stem;
  std::vector<std::size_t> owners;  // indices of models
};

// The draft of one kind for the model `at`: one of the model's own precision, else one of high precision, else the
// smallest.
const RemoteFile* find_draft(const std::vector<Draft>& drafts, bool mtp, std::size_t at, const std::string& tag) {
  const RemoteFile* best = nullptr;
  std::tuple<bool, bool, Bytes, std::string> least;
  for (const Draft& draft : drafts) {
    if (is_mtp_name(draft.stem) != mtp || std::count(draft.owners.begin(), draft.owners.end(), at) == 0) continue;
    const std::string name = lower_case(draft.stem);
    const std::tuple key(!name.ends_with("-" + lower_case(tag)), !name.ends_with("q8_0"), draft.file->size,
                         draft.file->path);
    if (best != nullptr && least <= key) continue;
    best = draft.file;
    least = key;
  }
  return best;
}

// Whether a tag has at least the precision of Q4_K_M. A tag that names no number of bits is accepted.
bool at_least_q4_k_m(std::string_view tag) {
  const std::size_t digit = tag.find_first_of("0123456789");
  if (digit == std::string_view::npos) return true;
  const char bits = tag[digit];
  if (tag.starts_with("F") || tag.starts_with("BF") || bits >= '5') return true;
  const bool medium = tag.ends_with("K_M") || tag.ends_with("K_L") || tag.ends_with("K_XL") || tag == "Q4_1";
  return bits == '4' && (medium || tag.starts_with("MXFP"));
}

std::string names_of(const std::vector<Choice>& choices) {
  std::vector<std::string> names;
  for (const Choice& choice : choices) {
    if (names.size() == kMostNamed) {
      names.emplace_back("...");
      break;
    }
    names.push_back(choice.tag);
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string size_sentence(const Choice& choice, Bytes budget) {
  const std::string sizes =
      fmt::format("{} of files, about {} in memory, with a budget of {}", format_bytes(choice.size),
                  format_bytes(choice.expected_memory), format_bytes(budget));
  switch (choice.fit) {
    case Fit::kFits:
      return fmt::format("It fits: {}.", sizes);
    case Fit::kFitsSmaller:
      return fmt::format("It fits with less than the usual context, slots or caches ({}): it is given what fits.",
                         sizes);
    case Fit::kDoesNotFit:
      break;
  }
  return fmt::format("It does not fit this machine's memory budget ({}): it can be fetched, but not run here.", sizes);
}

bool is_projector(const RemoteFile& file) {
  return kind_by_name(parse_model_file_name(base_name(file.path)).stem) == FileKind::kProjector;
}

Result<Chosen> choose_named(const Asked& asked, const std::vector<Choice>& choices, Bytes budget) {
  const std::string small = lower_case(asked.quant);
  for (const Choice& choice : choices) {
    const bool is_it = asked.file.empty()
                           ? lower_case(choice.tag) == small
                           : std::any_of(choice.files.begin(), choice.files.end(), [&](const RemoteFile& file) {
                               return file.path == asked.file && !is_projector(file);
                             });
    if (is_it) return Chosen{choice, fmt::format("{} was asked for. {}", choice.tag, size_sentence(choice, budget))};
  }
  return fail(ErrorCode::kModelNotFound,
              fmt::format("{} has no {}; it has {}.", asked.repo, asked.file.empty() ? asked.quant : asked.file,
                          names_of(choices)),
              "model");
}

}  // namespace

std::string_view fit_text(Fit fit) {
  if (fit == Fit::kFits) return "fits";
  return fit == Fit::kFitsSmaller ? "fits smaller" : "does not fit";
}

std::vector<Choice> choices_of(std::string_view repo, const std::vector<RemoteFile>& files, Bytes budget, With with) {
  using Key = std::pair<std::string, unsigned>;  // folder and stem, number of parts
  std::map<Key, std::map<unsigned, const RemoteFile*>> models;
  std::vector<const RemoteFile*> projectors;
  std::vector<Draft> drafts;
  for (const RemoteFile& file : files) {
    const std::string name = base_name(file.path);
    if (!is_gguf_file_name(name)) continue;
    const ModelFileName parsed = parse_model_file_name(name);
    const FileKind kind = kind_by_name(parsed.stem);
    if (kind == FileKind::kProjector) projectors.push_back(&file);
    if (kind == FileKind::kDraft && parsed.parts <= 1) drafts.push_back({&file, parsed.stem, {}});
    if (kind != FileKind::kModel) continue;
    models[{folder_of(file.path) + "/" + parsed.stem, parsed.parts}][parsed.part] = &file;
  }
  std::erase_if(models, [](const auto& model) { return model.second.size() != std::max(model.first.second, 1U); });

  std::vector<std::string> stems;
  for (const auto& [key, parts] : models)
    stems.push_back(parse_model_file_name(base_name(parts.begin()->second->path)).stem);
  for (Draft& draft : drafts) draft.owners = owners_of(draft.stem, stems);
  const std::vector<ModelId> names = hub_ids(repo, stems);
  std::vector<Choice> choices;
  std::size_t at = 0;
  for (const auto& [key, parts] : models) {
    Choice choice;
    choice.name = names[at];
    choice.tag = choice.name.substr(repo.size() + 1);
    for (const auto& [number, file] : parts) choice.files.push_back(*file);
    if (const RemoteFile* projector = find_projector(projectors, folder_of(choice.files.front().path))) {
      choice.files.push_back(*projector);
    }
    for (const auto& [kind, mtp, wanted] :
         {std::tuple("draft", false, with.draft), std::tuple("mtp", true, with.mtp)}) {
      const RemoteFile* const draft = find_draft(drafts, mtp, at, choice.tag);
      if (draft == nullptr) continue;
      choice.companions.push_back({kind, *draft});
      if (wanted) choice.files.push_back(*draft);
    }
    ++at;
    for (const RemoteFile& file : choice.files) choice.size += file.size;
    choice.expected_memory = expected_memory(choice.size);
    choice.fit = fit_of(choice.size, budget);
    choices.push_back(std::move(choice));
  }
  std::sort(choices.begin(), choices.end(),
            [](const Choice& a, const Choice& b) { return std::tie(b.size, a.name) < std::tie(a.size, b.name); });
  return choices;
}

namespace {

Result<Chosen> choose_model(const Asked& asked, const std::vector<Choice>& choices, Bytes budget) {
  if (choices.empty()) {
    return fail(ErrorCode::kInvalidModel,
                fmt::format("{} has no GGUF model: look for a repository whose name ends in -GGUF.", asked.repo),
                "model");
  }
  if (!asked.quant.empty() || !asked.file.empty()) return choose_named(asked, choices, budget);
  const auto first = [&](auto&& is_it) { return std::find_if(choices.begin(), choices.end(), is_it); };
  const auto good = first([](const Choice& c) { return c.fit == Fit::kFits && at_least_q4_k_m(c.tag); });
  if (good != choices.end()) {
    return Chosen{*good, fmt::format("{} is the largest of {} that fits: about {} of the {} budget.", good->tag,
                                     choices.size(), format_bytes(good->expected_memory), format_bytes(budget))};
  }
  const auto any = first([](const Choice& c) { return c.fit == Fit::kFits; });
  if (any != choices.end()) {
    return Chosen{*any, fmt::format("{} is the largest that fits (about {} of the {} budget); none that is at least "
                                    "Q4_K_M does.",
                                    any->tag, format_bytes(any->expected_memory), format_bytes(budget))};
  }
  const Choice& smallest = choices.back();
  if (smallest.fit == Fit::kFitsSmaller) {
    return Chosen{smallest, fmt::format("{} is the smallest. {}", smallest.tag, size_sentence(smallest, budget))};
  }
  return fail(
      ErrorCode::kBudgetExceeded,
      fmt::format("None of {} fits the memory budget of {}: the smallest, {}, has {} of files. Pull a smaller "
                  "model, or name one of {} to fetch it all the same.",
                  asked.repo, format_bytes(budget), smallest.tag, format_bytes(smallest.size), names_of(choices)),
      "model");
}

}  // namespace

Result<Chosen> choose(const Asked& asked, const std::vector<Choice>& choices, Bytes budget) {
  Result<Chosen> chosen = choose_model(asked, choices, budget);
  if (!chosen) return chosen;
  const std::vector<Companion>& there = chosen->choice.companions;
  for (const auto& [kind, wanted] : {std::pair("draft", asked.with.draft), std::pair("mtp", asked.with.mtp)}) {
    const auto is_it = [name = std::string_view(kind)](const Companion& companion) { return companion.kind == name; };
    if (!wanted || std::any_of(there.begin(), there.end(), is_it)) continue;
    return fail(ErrorCode::kModelNotFound,
                fmt::format("{} has no {} file for {}: pull it without that.", asked.repo, kind, chosen->choice.tag),
                "with");
  }
  return chosen;
}

}  // namespace minerva::pull
