#include "io/http.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "io/io_test_support.h"

namespace minerva::io {
namespace {

// Reads the whole body, at either end of a connection.
template <typename Connection>
Task<std::string> whole_body(Connection& connection) {
  std::string body;
  while (true) {
    const auto piece = co_await connection.read_body();
    EXPECT_TRUE(piece.has_value());
    if (!piece || piece->empty()) co_return body;
    body += *piece;
  }
}

// Sends raw bytes to a server. Returns the error of read_request() or of read_body().
Task<std::optional<ErrorCode>> error_for(Loop& loop, std::string bytes, HttpLimits limits) {
  StreamPair pair = co_await connected_pair(loop);
  HttpServerConnection server(std::move(pair.server), limits);
  co_await write_all(*pair.client, std::move(bytes));
  pair.client->shutdown_write();
  const auto request = co_await server.read_request();
  if (!request) co_return request.error().code;
  while (true) {
    const auto piece = co_await server.read_body();
    if (!piece) co_return piece.error().code;
    if (piece->empty()) co_return std::nullopt;
  }
}

TEST(Http, SeveralRequestsOverOneConnection) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    HttpClientConnection client(std::move(pair.client));
    for (int i = 0; i < 3; ++i) {
      RequestHead head;
      head.method = "POST";
      head.target = "/x?y=1";
      head.headers.add("X-Test", "a");
      head.content_length = 5;
      EXPECT_TRUE(co_await client.send_request(head, "hello"));
      const auto request = co_await server.read_request();
      EXPECT_TRUE(request.has_value() && request->has_value());
      EXPECT_EQ((*request)->method, "POST");
      EXPECT_EQ((*request)->target, "/x?y=1");
      EXPECT_EQ(*(*request)->headers.find("x-test"), "a");
      EXPECT_EQ((*request)->headers.find("content-length"), nullptr) << "framing fields are not passed on";
      EXPECT_EQ(co_await whole_body(server), "hello");
      ResponseHead answer;
      answer.status = 201;
      EXPECT_TRUE(co_await server.respond(answer, "world"));
      const auto response = co_await client.read_response();
      EXPECT_EQ(response->status, 201);
      EXPECT_EQ(co_await whole_body(client), "world");
      EXPECT_TRUE(server.reusable());
      EXPECT_TRUE(client.reusable());
    }
    client.close();
    const auto end = co_await server.read_request();
    EXPECT_TRUE(end.has_value() && !end->has_value());
  });
}

TEST(Http, EachAnswerHasADateAndWhatWasAddedToIt) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    HttpClientConnection client(std::move(pair.client));
    for (const bool added : {true, false}) {
      RequestHead head;
      head.method = "GET";
      head.target = "/";
      EXPECT_TRUE(co_await client.send_request(head, ""));
      EXPECT_TRUE((co_await server.read_request()).has_value());
      ResponseHead answer;
      if (added) {
        server.add_to_answer("Vary", "Origin");
      } else {
        answer.headers.add("date", "another server's");
      }
      EXPECT_TRUE(co_await server.respond(answer, "x"));
      const auto response = co_await client.read_response();
      EXPECT_EQ(response->headers.count("date"), 1U);
      EXPECT_EQ(*response->headers.find("date") == "another server's", !added);
      EXPECT_EQ(response->headers.count("vary"), added ? 1U : 0U) << "it is of one request";
      EXPECT_EQ(co_await whole_body(client), "x");
    }
    EXPECT_TRUE(http_date().ends_with(" GMT"));
    EXPECT_EQ(http_date().size(), 29U);
  });
}

// Fuzzing found this: the parser asserts how the bytes of a last chunk come.
TEST(Http, TheEndOfAChunkedBodyMayComeByteByByte) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    const auto request = co_await server.read_request();
    EXPECT_TRUE(request.has_value() && request->has_value());
    bool ended = false;
    Signal read(loop);
    const auto reader = [&]() -> Task<void> {
      EXPECT_EQ(co_await whole_body(server), "");
      ended = true;
      read.notify();
    };
    loop.spawn(reader());
    for (const char byte : std::string_view("0\r\n\r\n")) {
      EXPECT_FALSE(ended);
      co_await write_all(*pair.client, std::string(1, byte));
      co_await sleep_until(loop, Clock::now());  // the reader takes the bytes
    }
    co_await read.wait();
    EXPECT_TRUE(server.body_done());
  });
}

TEST(Http, StreamsInPiecesBothWays) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    HttpClientConnection client(std::move(pair.client));
    RequestHead head;
    head.method = "POST";
    head.target = "/";
    head.chunked = true;
    EXPECT_TRUE(co_await client.send_request(head, "a"));
    EXPECT_TRUE(co_await client.send_body(""));
    EXPECT_TRUE(co_await client.send_body("bc"));
    EXPECT_TRUE(co_await client.finish_body());
    const auto request = co_await server.read_request();
    EXPECT_TRUE((*request)->chunked);
    EXPECT_EQ(co_await whole_body(server), "abc");
    EXPECT_TRUE(co_await server.start({}));
    EXPECT_TRUE(co_await server.send("one "));
    EXPECT_TRUE(co_await server.send("")) << "an empty piece must not end the answer";
    EXPECT_TRUE(co_await server.send("two"));
    EXPECT_TRUE(co_await server.finish());
    const auto response = co_await client.read_response();
    EXPECT_TRUE(response->chunked);
    EXPECT_EQ(co_await whole_body(client), "one two");
    EXPECT_TRUE(client.reusable());
  });
}

TEST(Http, ABrokenAnswerIsNotTakenForACompleteOne) {
  run_on_loop([](Loop& loop) -> Task<void> {
    for (const bool chunked : {true, false}) {
      StreamPair pair = co_await connected_pair(loop);
      HttpServerConnection server(std::move(pair.server), {});
      HttpClientConnection client(std::move(pair.client));
      RequestHead head;
      head.method = "GET";
      head.target = "/";
      co_await client.send_request(head, "");
      co_await server.read_request();
      ResponseHead answer;
      if (!chunked) answer.content_length = 100;
      co_await server.start_with(answer, "part");
      EXPECT_FALSE(server.reusable());
      server.abort();
      EXPECT_TRUE((co_await client.read_response()).has_value());
      EXPECT_EQ(*co_await client.read_body(), "part");
      EXPECT_FALSE((co_await client.read_body()).has_value());
      EXPECT_FALSE(client.reusable());
    }
  });
}

TEST(Http, AnUnreadBodyClosesTheConnectionAfterTheAnswer) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc");
    co_await server.read_request();
    EXPECT_TRUE(co_await server.respond({}, "no"));
    EXPECT_FALSE(server.reusable());
    pair.client->shutdown_write();
    co_await server.linger();
    server.close();
    const std::string answer = co_await read_to_end(*pair.client);
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(answer.ends_with("\r\n\r\nno"));
  });
}

TEST(Http, Sends100ContinueWhenTheClientWaitsForIt) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    co_await server.read_request();
    Signal read(loop);
    std::string body;
    const auto reader = [&]() -> Task<void> {
      body = co_await whole_body(server);
      read.notify();
    };
    loop.spawn(reader());
    EXPECT_EQ(co_await read_exactly(*pair.client, 25), "HTTP/1.1 100 Continue\r\n\r\n");
    co_await write_all(*pair.client, "ok");
    co_await read.wait();
    EXPECT_EQ(body, "ok");
  });
}

TEST(Http, AnswersHeadAndHttp10) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.0\r\n\r\n");
    co_await server.read_request();
    co_await server.respond({}, "unseen");
    EXPECT_TRUE(server.reusable());
    co_await server.read_request();
    co_await server.start({});
    co_await server.send("old");
    co_await server.finish();
    EXPECT_FALSE(server.reusable());
    server.close();
    const std::string answers = co_await read_to_end(*pair.client);
    EXPECT_EQ(std::regex_replace(answers, std::regex("Date: [^\r]*\r\n"), ""),
              "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nold");
  });
}

TEST(Http, RefusesWhatItCannotFrame) {
  run_on_loop([](Loop& loop) -> Task<void> {
    const std::string both = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    const std::string twice = "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd";
    const std::string bad_chunk = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n";
    const std::string endless_chunk_head =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(100000, '1');
    const std::string no_version = "GET /\r\n\r\n";
    for (const std::string& bytes : {both, twice, bad_chunk, endless_chunk_head, no_version}) {
      EXPECT_EQ(co_await error_for(loop, bytes, {}), ErrorCode::kInvalidArgument) << bytes;
    }
    EXPECT_EQ(co_await error_for(loop, "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", {}), ErrorCode::kCancelled);
    for (const char* encoding : {"xchunked", "identity", "chunked, identity", "gzip, chunked", ""}) {
      const std::string bytes = fmt::format("POST / HTTP/1.1\r\nTransfer-Encoding: {}\r\n\r\n0\r\n\r\n", encoding);
      EXPECT_EQ(co_await error_for(loop, bytes, {}), ErrorCode::kInvalidArgument) << encoding;
    }
    for (const char* folded : {"X: a\r\n b\r\n", "Content-Length:\r\n\t3\r\n"}) {
      const std::string bytes = fmt::format("POST / HTTP/1.1\r\n{}\r\n", folded);
      EXPECT_EQ(co_await error_for(loop, bytes, {}), ErrorCode::kInvalidArgument) << folded;
    }
  });
}

TEST(Http, LinesOfABodyAreNoFoldedFields) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "POST / HTTP/1.1\r\nContent-Length: 8\r\n\r\n{\n  \n\t}\n");
    const auto request = co_await server.read_request();
    EXPECT_TRUE(request.has_value());
    EXPECT_EQ(co_await whole_body(server), "{\n  \n\t}\n");
  });
}

TEST(Http, ABodyThatTricklesInTimesOut) {
  run_on_loop([](Loop& loop) -> Task<void> {
    HttpLimits limits;
    limits.body_timeout = std::chrono::milliseconds(50);
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), limits);
    bool over = false;
    Signal ended(loop);
    const auto trickle = [&]() -> Task<void> {
      co_await write_all(*pair.client, "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
      while (!over) {
        co_await write_all(*pair.client, "x");
        co_await sleep_until(loop, Clock::now() + std::chrono::milliseconds(5));
      }
      ended.notify();
    };
    loop.spawn(trickle());
    const auto request = co_await server.read_request();
    EXPECT_TRUE(request.has_value());
    Result<std::string_view> piece = co_await server.read_body();
    while (piece && !piece->empty()) piece = co_await server.read_body();
    EXPECT_FALSE(piece.has_value());
    if (!piece) EXPECT_EQ(piece.error().code, ErrorCode::kTimeout);
    over = true;
    co_await ended.wait();
  });
}

TEST(Http, ABodyIsNotReadBeyondTheLimitOfItsRequest) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    EXPECT_TRUE((co_await server.read_request()).has_value());
    server.limit_reads(Clock::now() + std::chrono::milliseconds(20));
    EXPECT_EQ(co_await server.read_body(), "a");
    const auto rest = co_await server.read_body();
    EXPECT_FALSE(rest.has_value());
    if (!rest) EXPECT_EQ(rest.error().code, ErrorCode::kTimeout);
  });
}

TEST(Http, AWriteUnderWayEndsWithItsLimit) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);  // the client of the pair does not read
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "GET / HTTP/1.1\r\n\r\n");
    co_await server.read_request();
    Timer timer(loop);
    timer.arm(Clock::now() + std::chrono::milliseconds(5), [&] { server.limit_writes(Clock::now()); });
    const std::string large(64 << 20, 'x');
    EXPECT_FALSE(co_await server.respond({}, large));
  });
}

TEST(Http, WhatASlowClientDoesNotTakeIsKeptAndSentInOrder) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    HttpClientConnection client(std::move(pair.client));
    RequestHead head;
    head.method = "GET";
    head.target = "/";
    EXPECT_TRUE(co_await client.send_request(head, {}));
    co_await server.read_request();
    server.keep_unsent(true);
    EXPECT_TRUE(co_await server.start({}));
    EXPECT_EQ(server.unsent(), 0U) << "the client has room for that";
    // More bytes than the system buffers for a client that does not read; and nobody waits.
    std::string all;
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      const std::string piece(1 << 20, letter);
      all += piece;
      EXPECT_TRUE(co_await server.send(piece));
    }
    EXPECT_TRUE(co_await server.finish());
    EXPECT_GT(server.unsent(), 0U);
    std::string read;
    Signal all_read(loop);
    const auto read_all = [](HttpClientConnection& from, std::string& to, Signal& done) -> Task<void> {
      co_await from.read_response();
      to = co_await whole_body(from);
      done.notify();
    };
    loop.spawn(read_all(client, read, all_read));
    int parts = 0;
    EXPECT_TRUE(co_await server.flush([&] { ++parts; }));
    EXPECT_GT(parts, 1);
    EXPECT_EQ(server.unsent(), 0U);
    co_await all_read.wait();
    EXPECT_TRUE(read == all);
    EXPECT_TRUE(server.reusable());
  });
}

TEST(Http, WhatIsKeptEndsWithAClientThatGoes) {
  run_on_loop([](Loop& loop) -> Task<void> {
    StreamPair pair = co_await connected_pair(loop);
    HttpServerConnection server(std::move(pair.server), {});
    co_await write_all(*pair.client, "GET / HTTP/1.1\r\n\r\n");
    co_await server.read_request();
    server.keep_unsent(true);
    EXPECT_TRUE(co_await server.respond({}, std::string(64 << 20, 'x')));
    EXPECT_GT(server.unsent(), 0U);
    pair.client->close();
    EXPECT_FALSE(co_await server.flush([] {}));
    EXPECT_FALSE(server.reusable());
  });
}

TEST(Http, BoundsTheHead) {
  run_on_loop([](Loop& loop) -> Task<void> {
    HttpLimits limits;
    limits.max_head = 1000;
    limits.max_headers = 10;
    const std::string large = "GET / HTTP/1.1\r\nX: " + std::string(50000, 'x') + "\r\n\r\n";
    EXPECT_EQ(co_await error_for(loop, large, limits), ErrorCode::kHeadersTooLarge);
    std::string many = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < 11; ++i) many += "A: b\r\n";
    EXPECT_EQ(co_await error_for(loop, many + "\r\n", limits), ErrorCode::kHeadersTooLarge);
  });
}

}  // namespace
}  // namespace minerva::io
