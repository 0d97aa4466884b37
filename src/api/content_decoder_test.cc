#include "api/content_decoder.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <vector>

namespace minerva::api {
namespace {

std::string with_zlib(const std::string& text, bool gzip) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2(&stream, 9, Z_DEFLATED, gzip ? 31 : 15, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(::deflateBound(&stream, text.size()) + 64, '\0');
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string with_zstd(const std::string& text, int level = 3) {
  std::string out(::ZSTD_compressBound(text.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), text.data(), text.size(), level));
  return out;
}

std::string encoded(std::string_view name, const std::string& text) {
  return name == "zstd" ? with_zstd(text) : with_zlib(text, name == "gzip");
}

// Decodes in pieces of `size` bytes and notes the largest step.
Result<std::string> decode(std::string_view name, std::string_view body, std::size_t size,
                           std::size_t* memory = nullptr) {
  auto decoder = make_decoder(name);
  if (!decoder) return Failure(decoder.error());
  std::string out;
  while (!body.empty()) {
    const std::string piece(body.substr(0, size));
    body.remove_prefix(piece.size());
    (*decoder)->feed(piece);
    while (true) {
      const auto step = (*decoder)->next();
      if (!step) return Failure(step.error());
      if (memory != nullptr) *memory = std::max(*memory, (*decoder)->memory());
      EXPECT_LE(step->size(), ContentDecoder::kMaxStep);
      if (step->empty()) break;
      out += *step;
    }
  }
  if (const auto end = (*decoder)->finish(); !end) return Failure(end.error());
  return out;
}

// Text that shrinks to about a third.
std::string prose(std::size_t bytes) {
  std::string text;
  unsigned state = 1;
  while (text.size() < bytes) {
    state = state * 1664525 + 1013904223;
    text += "word" + std::to_string(state >> 16) + " ";
  }
  return text;
}

const std::vector<std::string> kNames = {"gzip", "deflate", "zstd"};

TEST(ContentDecoder, GivesBackWhatWasEncoded) {
  for (const std::string& name : kNames) {
    for (const std::string& text : {std::string(), std::string("{}"), prose(300'000), std::string(500'000, '0')}) {
      for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20}) {
        if (size == 1 && text.size() > 1000) continue;
        const auto back = decode(name, encoded(name, text), size);
        ASSERT_TRUE(back) << name << " " << back.error().message;
        EXPECT_EQ(*back, text) << name;
      }
    }
  }
}

TEST(ContentDecoder, NamesAreReadAsHttpHasThem) {
  EXPECT_EQ(decode(" GZip ", with_zlib("x", true), 100).value(), "x");
  EXPECT_EQ(decode("x-gzip", with_zlib("x", true), 100).value(), "x");
  EXPECT_EQ(make_decoder("").value(), nullptr);
  EXPECT_EQ(make_decoder("identity").value(), nullptr);
  for (const char* name : {"br", "gzip, gzip", "gzip,zstd", "compress", "*", "gzip;q=1"}) {
    const auto refused = make_decoder(name);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupportedMedia);
    EXPECT_NE(refused.error().message.find(kContentEncodings), std::string::npos);
  }
}

TEST(ContentDecoder, SeveralInARowAreOneBody) {
  EXPECT_EQ(decode("gzip", with_zlib("a", true) + with_zlib("b", true), 7).value(), "ab");
  EXPECT_EQ(decode("zstd", with_zstd("a") + with_zstd("b"), 7).value(), "ab");
}

TEST(ContentDecoder, FramesOfZstdBeforeVersion1AreRefused) {
  for (const char first : {'\x1E', '\x22', '\x23', '\x24', '\x25', '\x26', '\x27'}) {
    for (const std::size_t piece : {1U, 3U, 100U}) {
      for (const std::string& before : {std::string(), with_zstd("a")}) {
        const auto refused = decode("zstd", before + first + std::string("\xB5\x2F\xFD\0\0\0\0", 7), piece);
        ASSERT_FALSE(refused) << static_cast<int>(first);
        EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
      }
    }
  }
  // A skippable frame of 2 bytes.
  const std::string skipped("\x5A\x2A\x4D\x18\2\0\0\0xy", 10);
  EXPECT_EQ(decode("zstd", skipped + with_zstd("a") + skipped, 1).value(), "a");
}

TEST(ContentDecoder, ZstdReadsAFrameThatComesWholeAsOneThatComesInPieces) {
  // A frame with a wrong length. Its only block is empty and claims to be compressed.
  for (const std::string& frame :
       {std::string("\x28\xB5\x2F\xFD\x20\x4A\1\0\0", 9), std::string("\x28\xB5\x2F\xFD\x20\0\5\0\0", 9)}) {
    const bool is_read = decode("zstd", frame, 1).has_value();
    for (const std::size_t piece : {2U, 3U, 7U, 100U}) {
      EXPECT_EQ(decode("zstd", frame, piece).has_value(), is_read) << piece;
      EXPECT_EQ(decode("zstd", with_zstd("a") + frame, piece).has_value(), is_read) << piece;
    }
  }
}

TEST(ContentDecoder, TruncatedAndBrokenOnesAreRefused) {
  const std::string text = prose(100'000);
  for (const std::string& name : kNames) {
    const std::string whole = encoded(name, text);
    for (const std::size_t length :
         {std::size_t{0}, std::size_t{1}, std::size_t{9}, whole.size() / 2, whole.size() - 1}) {
      const auto cut = decode(name, whole.substr(0, length), 1000);
      ASSERT_FALSE(cut) << name << " " << length;
      EXPECT_EQ(cut.error().code, ErrorCode::kInvalidArgument);
    }
    for (const std::string& wrong : {whole + "more", std::string("no such thing at all"), "x" + whole}) {
      const auto broken = decode(name, wrong, 1000);
      ASSERT_FALSE(broken) << name;
      EXPECT_EQ(broken.error().code, ErrorCode::kInvalidArgument) << broken.error().message;
    }
  }
}

TEST(ContentDecoder, ABombIsRefusedBeforeItHasGrown) {
  std::string zeros;
  zeros.resize(10'000'000, '0');
  for (const std::string& name : kNames) {
    const std::string bomb = encoded(name, zeros);
    ASSERT_LT(bomb.size(), 12'000U) << name;
    std::size_t memory = 0;
    const auto refused = decode(name, bomb, 4096, &memory);
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kTooLarge) << refused.error().message;
    EXPECT_LT(memory, std::size_t{16} << 20) << name;
  }
}

// A frame with a window of more than 8 MiB would need that much memory.
TEST(ContentDecoder, AHugeWindowIsRefused) {
  ZSTD_CCtx* const context = ::ZSTD_createCCtx();
  ::ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 27);
  ::ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  const std::string text = prose(100'000);
  std::string out(::ZSTD_compressBound(text.size()), '\0');
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  // In two steps, so that the library does not learn the size and choose a smaller window.
  in.size /= 2;
  EXPECT_EQ(::ZSTD_isError(::ZSTD_compressStream2(context, &to, &in, ZSTD_e_flush)), 0U);
  in.size = text.size();
  EXPECT_EQ(::ZSTD_compressStream2(context, &to, &in, ZSTD_e_end), 0U);
  ::ZSTD_freeCCtx(context);
  out.resize(to.pos);
  const auto refused = decode("zstd", out, 1000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace minerva::api
