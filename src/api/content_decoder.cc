#include "api/content_decoder.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>
#include <string>

#include "minerva/base/check.h"

namespace minerva::api {
namespace {

Failure broken(std::string_view name, std::string_view how) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("The body is not what its Content-Encoding \"{}\" says: {}.", name, how));
}

// gzip and deflate.
class ZlibDecoder final : public ContentDecoder {
 public:
  explicit ZlibDecoder(bool gzip) : gzip_(gzip) {
    constexpr int kLargestWindow = 15;
    constexpr int kGzip = 16;
    check(::inflateInit2(&stream_, gzip ? kLargestWindow + kGzip : kLargestWindow) == Z_OK, "zlib has no memory");
  }
  ~ZlibDecoder() override { ::inflateEnd(&stream_); }

  std::size_t memory() const override {
    constexpr std::size_t kWindowAndTables = std::size_t{48} * 1024;  // by zlib's documentation, rounded up
    return kWindowAndTables;
  }

 protected:
  Result<std::size_t> decode(std::string_view& input, char* output, std::size_t room) override {
    if (complete_ && !input.empty()) {
      // A gzip body may be several gzip streams in a row; deflate has no such thing.
      if (!gzip_) return broken("deflate", "something follows its end");
      ::inflateReset(&stream_);
      complete_ = false;
    }
    if (complete_) return std::size_t{0};
    constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
    // zlib only reads the input, but its interface has no const.
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input.data()));  // NOLINT
    stream_.avail_in = static_cast<uInt>(std::min(input.size(), kMost));
    stream_.next_out = reinterpret_cast<Bytef*>(output);
    stream_.avail_out = static_cast<uInt>(room);
    const uInt offered = stream_.avail_in;
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    input.remove_prefix(offered - stream_.avail_in);
    if (status == Z_MEM_ERROR) return fail(ErrorCode::kQueueFull, "There is no memory to decode the body.");
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      return broken(gzip_ ? "gzip" : "deflate", stream_.msg == nullptr ? "it is broken" : stream_.msg);
    }
    complete_ = status == Z_STREAM_END;
    return room - stream_.avail_out;
  }
  bool complete() const override { return complete_; }

 private:
  bool gzip_;
  bool complete_ = false;
  z_stream stream_{};
};

class ZstdDecoder final : public ContentDecoder {
 public:
  ZstdDecoder() : context_(::ZSTD_createDCtx()) {
    check(context_ != nullptr, "zstd has no memory");
    // 8 MiB: what RFC 9659 allows for a Content-Encoding.
    constexpr int kWindowLog = 23;
    ::ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kWindowLog);
  }

  std::size_t memory() const override { return ::ZSTD_sizeof_DCtx(context_.get()); }

 protected:
  Result<std::size_t> decode(std::string_view& input, char* output, std::size_t room) override {
    if (!input.empty() && complete_) head_read_ = 0;
    if (!input.empty() && head_read_ == 0 && !may_begin_frame(static_cast<unsigned char>(input.front()))) {
      return broken("zstd", "no frame of RFC 8878");
    }
    // The libraries of distributions also read the formats before version 1. HTTP knows none of them.
    const std::size_t offered = head_read_ < kLongestHead ? std::min<std::size_t>(input.size(), 1) : input.size();
    ZSTD_inBuffer in{input.data(), offered, 0};
    ZSTD_outBuffer out{output, room, 0};
    const std::size_t status = ::ZSTD_decompressStream(context_.get(), &out, &in);
    if (::ZSTD_isError(status) != 0) return broken("zstd", ::ZSTD_getErrorName(status));
    head_read_ += in.pos;
    input.remove_prefix(in.pos);
    // Between two frames in a row the library asks for the next frame's head, and has read and written nothing.
    if (in.pos > 0 || out.pos > 0) complete_ = status == 0;
    return out.pos;
  }
  bool complete() const override { return complete_; }

 private:
  static constexpr std::size_t kLongestHead = 18;  // of a frame's head, in bytes

  // Libraries of distributions also read the formats before version 1, each in its own way; HTTP knows none of them.
  static bool may_begin_frame(unsigned char first) {
    constexpr unsigned char kData = 0x28;
    constexpr unsigned char kFirstSkipped = 0x50;
    constexpr unsigned char kLastSkipped = 0x5F;
    return first == kData || (first >= kFirstSkipped && first <= kLastSkipped);
  }

  struct Free {
    void operator()(ZSTD_DCtx* context) const { ::ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  std::size_t head_read_ = 0;  // bytes of the frame's head
  bool complete_ = false;
};

std::string lower_trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  std::string result(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

}  // namespace

void ContentDecoder::feed(std::string_view piece) {
  check(input_.empty(), "a decoder is fed before it wants more");
  input_ = piece;
}

Result<std::string_view> ContentDecoder::next() {
  if (step_ == nullptr) step_ = std::make_unique<char[]>(kMaxStep);
  while (!input_.empty() || step_was_full_) {
    const std::size_t before = input_.size();
    const Result<std::size_t> made = decode(input_, step_.get(), kMaxStep);
    if (!made) return Failure(made.error());
    taken_ += before - input_.size();
    made_ += *made;
    step_was_full_ = *made == kMaxStep;
    if (made_ > kFreeBytes && made_ / kMaxRatio > taken_) {
      return fail(ErrorCode::kTooLarge,
                  fmt::format("The body grows to more than {} times its size when it is decoded. Send it without a "
                              "Content-Encoding.",
                              kMaxRatio));
    }
    if (*made > 0) return std::string_view(step_.get(), *made);
    if (before == input_.size() && !input_.empty()) {
      return fail(ErrorCode::kInvalidArgument, "The encoded body cannot be decoded.");
    }
  }
  return std::string_view();
}

Result<void> ContentDecoder::finish() const {
  if (complete()) return {};
  return fail(ErrorCode::kInvalidArgument, "The body ends before the end of what its Content-Encoding began.");
}

Result<std::unique_ptr<ContentDecoder>> make_decoder(std::string_view content_encoding) {
  const std::string name = lower_trimmed(content_encoding);
  if (name.empty() || name == "identity") return std::unique_ptr<ContentDecoder>();
  if (name == "gzip" || name == "x-gzip") return std::make_unique<ZlibDecoder>(/*gzip=*/true);
  if (name == "deflate") return std::make_unique<ZlibDecoder>(/*gzip=*/false);
  if (name == "zstd") return std::make_unique<ZstdDecoder>();
  return fail(ErrorCode::kUnsupportedMedia,
              fmt::format("The Content-Encoding \"{}\" is not read. Send one of {}, or none.", name.substr(0, 100),
                          kContentEncodings));
}

}  // namespace minerva::api
