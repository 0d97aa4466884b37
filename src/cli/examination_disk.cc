// minerva doctor: how fast the disk is that models are loaded from.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "catalog/catalog.h"
#include "cli/examination.h"
#include "cli/terminal.h"
#include "io/descriptor.h"

namespace minerva::cli {
namespace {

using Level = Finding::Level;

// Reads the disk itself, past the kernel's cache, for half a second. Nothing if the file is too small for a
// measurement, or if its file system reads only through the cache.
std::optional<double> bytes_per_second(const std::string& path) {
  constexpr std::size_t kBlock = std::size_t{1} << 20;
  constexpr std::size_t kAlignment = 4096;  // the alignment that every disk's blocks have
  constexpr std::size_t kEnough = 256 * kBlock;
  constexpr std::size_t kTooLittle = 32 * kBlock;
  constexpr double kLongestS = 0.5;
  const io::Descriptor file(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK));
  if (!file) return std::nullopt;
  const std::unique_ptr<void, decltype(&std::free)> block(std::aligned_alloc(kAlignment, kBlock), &std::free);
  const TimePoint begun = Clock::now();
  double took_s = 0;
  std::size_t read = 0;
  while (read < kEnough && took_s < kLongestS) {
    const ssize_t got = ::pread(*file, block.get(), kBlock, static_cast<off_t>(read));
    if (got <= 0) break;
    read += static_cast<std::size_t>(got);
    took_s = std::chrono::duration<double>(Clock::now() - begun).count();
    if (static_cast<std::size_t>(got) < kBlock) break;  // the end of the file
  }
  if (read == 0 || (read < kTooLittle && took_s < kLongestS)) return std::nullopt;
  return static_cast<double>(read) / took_s;
}

}  // namespace

Finding judge_disk(double bytes_per_s, const ModelSpec& model) {
  constexpr double kSlow = 400.0 * (1 << 20);  // less than a SATA SSD reads
  constexpr double kLongS = 5;
  const std::string rate = format_bytes(Bytes(static_cast<std::uint64_t>(bytes_per_s)));
  const double load_s = static_cast<double>(model.size.count()) / bytes_per_s;
  if (bytes_per_s >= kSlow || load_s < kLongS) {
    return {Level::kFine, "disk", fmt::format("Model files are read with {} a second.", rate)};
  }
  return {Level::kNote, "disk",
          fmt::format("Model files come from a slow disk, {} a second: \"{}\" ({}) takes {} to load. A faster disk for "
                      "the models folders, or memory for more models at once, makes switching quicker.",
                      rate, model.id, format_bytes(model.size), format_seconds(load_s))};
}

void examine_disk(const Config& config, const FindingSink& found) {
  const ScanResult scanned =
      Catalog::scan({config.models_dirs, config.models, "", config.models_dirs_are_default, config.may_fit()});
  const auto largest = std::max_element(scanned.models.begin(), scanned.models.end(),
                                        [](const ModelSpec& a, const ModelSpec& b) { return a.size < b.size; });
  if (largest == scanned.models.end() || largest->path.empty()) return;
  if (const std::optional<double> speed = bytes_per_second(largest->path)) found(judge_disk(*speed, *largest));
}

}  // namespace minerva::cli
