#include "conversation_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "build-info.h"
#include "keeper.h"
#include "lifeline.h"
#include "slots.h"

namespace minerva::engine {

Store * store = nullptr;

namespace {

// The daemon syncs a file before it names it.
constexpr std::chrono::seconds kNaming(10);

// Calls `visit(name)` for what the folder has. Returns its descriptor, -1 if there is none.
template <typename Visit>
void list(int folder, const char * name, const Visit & visit) {
    const int file = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR * const entries = file < 0 ? nullptr : fdopendir(file);
    if (entries == nullptr) {
        if (file >= 0) {
            close(file);
        }
        return;
    }
    while (const dirent * const entry = readdir(entries)) {
        visit(dirfd(entries), entry->d_name);
    }
    closedir(entries);
}

void list_files() {
    list(store->folder, ".", [](int folder, const char * tenant) {
        if (!protocol::is_tenant(tenant)) {
            return;
        }
        list(folder, tenant, [tenant](int files, const char * text) {
            const std::optional<protocol::SegmentName> name = protocol::parse_segment_name(text);
            if (!name) {
                return;
            }
            std::string why;
            const std::optional<SegmentReader> reader = SegmentReader::open(files, text, why);
            if (reader && to_text(reader->header().name) == text) {
                store->tree.add(tenant, summary(reader->header(), reader->file_bytes()));
            } else if (reader || errno == EBADMSG) {
                remove_unusable(tenant, *name, reader ? "it has another name" : why);
            }
        });
    });
}

bool is_missing(const std::string & tenant, const protocol::SegmentName & name) {
    struct stat found;
    return fstatat(store->folder, (tenant + "/" + to_text(name)).c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0 &&
           errno == ENOENT;
}

}  // namespace

std::uint64_t shape() {
    static const std::uint64_t result = [] {
        const llama_model * const model = llama_get_model(slots_context());
        char text[512];
        llama_model_desc(model, text, sizeof text);
        const std::string all = std::string(llama_build_info()) + " " + text + " " +
                                std::to_string(llama_model_size(model)) + " " +
                                std::to_string(llama_model_n_params(model));
        return static_cast<std::uint64_t>(XXH3_64bits(all.data(), all.size()));
    }();
    return result;
}

void remove_unusable(const std::string & tenant, const protocol::SegmentName & name, const std::string & why) {
    store->tree.remove(tenant, name.id);
    tell_daemon({{protocol::kUnusable,
                  {{protocol::kTenant, tenant}, {protocol::kName, to_text(name)}, {protocol::kWhy, why}}}});
}

bool forget_missing(const std::string & tenant, const SegmentTree::Segment & segment) {
    if (std::chrono::steady_clock::now() - segment.written < kNaming) {
        return false;
    }
    store->tree.remove(tenant, segment.name.id);
    return true;
}

Known known(const std::string & tenant, const std::vector<std::int32_t> & tokens) {
    Known result = {store->tree.find(tenant, tokens), false};
    // The daemon may have removed files, and does so from the leaves on.
    while (!result.match.path.empty() && is_missing(tenant, result.match.path.back().name) &&
           forget_missing(tenant, result.match.path.back())) {
        result.match = store->tree.find(tenant, tokens);
    }
    const std::vector<SegmentTree::Segment> & path = result.match.path;
    result.all = result.match.tokens == tokens.size() && !path.empty() && path.back().complete &&
                 path.back().goes_back_to <= tokens.size();
    return result;
}

void keep_conversations(const std::string & folder) {
    auto * const kept = new Store;
    kept->folder = open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (kept->folder < 0) {
        std::fprintf(stderr, "minerva-engine: W conversations are not kept: %s: %s\n", folder.c_str(),
                     std::strerror(errno));
        delete kept;
        return;
    }
    store = kept;
    std::promise<void> done;
    kept->listed = done.get_future().share();
    std::thread([done = std::move(done)]() mutable {
        list_files();
        done.set_value();
    }).detach();
}

bool keeps_conversations() { return store != nullptr; }

}  // namespace minerva::engine
