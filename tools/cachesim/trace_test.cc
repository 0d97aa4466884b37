#include "cachesim/trace.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace minerva::cachesim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string error_of(std::string_view csv) {
  const Result<Trace> trace = parse_trace(csv);
  return trace ? "no error" : trace.error().message;
}

TEST(Trace, ReadsRequestsModelsAndUsersInOrder) {
  const Result<Trace> trace = parse_trace(
      "arrival_s,model,user,service_s\n"
      "0,b,ann,2.5\n"
      "1.5,a,bob,0\n"
      "1.5,b,bob,3\n");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(trace->models, (std::vector<TraceModel>{{.id = "b"}, {.id = "a"}}));
  EXPECT_EQ(trace->users, (std::vector<std::string>{"ann", "bob"}));
  EXPECT_EQ(trace->requests, (std::vector<TraceRequest>{{seconds(0), 0, 0, milliseconds(2500)},
                                                        {milliseconds(1500), 1, 1, seconds(0)},
                                                        {milliseconds(1500), 0, 1, seconds(3)}}));
}

TEST(Trace, ReadsColumnsInAnyOrderAndWhatIsKnownOfModels) {
  const Result<Trace> trace = parse_trace(
      "reload_s,user,model,size_bytes,service_s,arrival_s\r\n"
      "0.25,u,m,1000,1,7\r\n"
      "0.25,u,m,1000,1,8\r\n");
  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->models.size(), 1U);
  EXPECT_EQ(trace->models[0].size, Bytes(1000));
  EXPECT_EQ(trace->models[0].reload, milliseconds(250));
  EXPECT_EQ(trace->requests.size(), 2U);
}

TEST(Trace, WritesWhatItReads) {
  const std::string csv =
      "arrival_s,model,user,service_s,size_bytes,reload_s\n"
      "0.000,m,u,1.250,1000,0.050\n"
      "12.345,n,v,0.000,2000,3.000\n";
  EXPECT_EQ(to_csv(parse_trace(csv).value()), csv);
  const std::string without = "arrival_s,model,user,service_s\n0.000,m,u,1.000\n0.001,m,u,1.000\n";
  EXPECT_EQ(to_csv(parse_trace(without).value()), without);
}

TEST(Trace, TakesRowsInAnyOrderAndTheFirstArrivalAsItsStart) {
  // In the order in which a server writes them: at their end, with wall-clock times.
  const Result<Trace> trace = parse_trace(
      "arrival_s,model,user,service_s\n"
      "1790000012.346,b,1,0.5\n"
      "1790000000.001,a,2,30\n"
      "1790000012.346,c,3,7200\n");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ(to_csv(*trace),
            "arrival_s,model,user,service_s\n0.000,a,2,30.000\n12.345,b,1,0.500\n12.345,c,3,3600.000\n");
  EXPECT_EQ(trace->models, (std::vector<TraceModel>{{.id = "a"}, {.id = "b"}, {.id = "c"}}));
  EXPECT_EQ(trace->users, (std::vector<std::string>{"2", "1", "3"}));
}

TEST(Trace, SkipsALineThatWasNotWrittenToItsEnd) {
  const std::string whole = "arrival_s,model,user,service_s\n0.000,m,u,1.000\n";
  for (const char* half : {"1", "1.000,n", "1.000,n,u,", "1.000,n,u,12"}) {
    const Result<Trace> trace = parse_trace(whole + half);
    ASSERT_TRUE(trace) << half;
    EXPECT_EQ(to_csv(*trace), whole) << half;
  }
  EXPECT_EQ(error_of("arrival_s,mod"), "the trace has no requests");
}

TEST(Trace, CanBeCutDownToSomeModels) {
  const Trace trace =
      parse_trace("arrival_s,model,user,service_s\n0,a,u,1\n1,b,v,1\n2,c,w,1\n3,a,x,1\n4,b,v,1\n").value();
  EXPECT_EQ(to_csv(keep_models(trace, {false, true, true})),
            "arrival_s,model,user,service_s\n0.000,b,v,1.000\n1.000,c,w,1.000\n3.000,b,v,1.000\n");
  EXPECT_EQ(keep_models(trace, {true, false, false}).users, (std::vector<std::string>{"u", "x"}));
  EXPECT_EQ(keep_models(trace, {false, false, false}), Trace{});
}

TEST(Trace, RefusesABadFirstLine) {
  EXPECT_EQ(error_of(""), "the trace has no requests");
  EXPECT_EQ(error_of("arrival_s,model,user,service_s\n"), "the trace has no requests");
  EXPECT_EQ(error_of("arrival_s,model,user\n0,m,u\n"), "line 1: the column service_s is missing");
  EXPECT_EQ(error_of("arrival_s,model,user,service_s,model\n"), "line 1: the column model is named twice");
  EXPECT_EQ(error_of("arrival_s,model,user,service_s,siz\x01\n").substr(0, 33), "line 1: there is no column \"siz?\"");
  EXPECT_EQ(error_of("0,m,u,1\n").substr(0, 29), "line 1: there is no column \"0");
}

TEST(Trace, RefusesABadRowAndSaysWhich) {
  const auto row = [](const std::string& bad) {
    return error_of("arrival_s,model,user,service_s\n5,m,u,1\n" + bad + "\n6,m,u,1\n");
  };
  EXPECT_EQ(row("5,m,u,1"), "no error");
  EXPECT_EQ(row(""), "line 3: 1 fields where 4 are named");
  EXPECT_EQ(row("5,m,u"), "line 3: 3 fields where 4 are named");
  EXPECT_EQ(row("5,m,u,1,"), "line 3: 5 fields where 4 are named");
  EXPECT_EQ(row("4.9,m,u,1"), "no error");
  EXPECT_EQ(row("1790000000,m,u,1").substr(0, 39), "the trace lasts longer than 30 years: i");
  for (const std::string number : {"", "x", "-1", "nan", "inf", "5 ", "0x5", "1e10", "5\x01"}) {
    EXPECT_EQ(row(number + ",m,u,1").substr(0, 21), "line 3: arrival_s is ") << number;
  }
  for (const char* number : {"", "x", "-1", "nan", "1000001"}) {
    EXPECT_EQ(row("5,m,u," + std::string(number)).substr(0, 21), "line 3: service_s is ") << number;
  }
  for (const char* model : {"", " m", "../m", "m\"", "m\xff", "a/../b"}) {
    EXPECT_EQ(row("5," + std::string(model) + ",u,1").substr(0, 17), "line 3: model is ") << model;
  }
  for (const std::string& user : {std::string(), std::string("a b"), std::string("\x7f"), std::string(201, 'u')}) {
    EXPECT_EQ(row("5,m," + user + ",1").substr(0, 16), "line 3: user is ") << user;
  }
}

TEST(Trace, RefusesBadFactsOfModels) {
  const auto rows = [](const std::string& first, const std::string& second) {
    return error_of("arrival_s,model,user,service_s,size_bytes,reload_s\n0,m,u,1," + first + "\n0,m,u,1," + second +
                    "\n");
  };
  EXPECT_EQ(rows("5,1", "5,1"), "no error");
  EXPECT_EQ(rows("5,1", "6,1"), "line 3: size_bytes or reload_s of m is another one than before");
  EXPECT_EQ(rows("5,1", "5,2"), "line 3: size_bytes or reload_s of m is another one than before");
  for (const char* size : {"", "0", "-1", "1.5", "1e3", "10000000000001", "99999999999999999999"}) {
    EXPECT_EQ(rows(std::string(size) + ",1", "5,1").substr(0, 22), "line 2: size_bytes is ") << size;
  }
  for (const char* reload : {"", "0", "-1", "nan", "3601", "1e-12"}) {
    EXPECT_EQ(rows("5," + std::string(reload), "5,1").substr(0, 20), "line 2: reload_s is ") << reload;
  }
}

TEST(Trace, RefusesMoreThanAReplayCanAddUp) {
  std::string csv = "arrival_s,model,user,service_s\n";
  for (int i = 0; i < 1'000'000; ++i) csv += "0,m,u,1\n";
  EXPECT_EQ(error_of(csv), "no error");
  EXPECT_EQ(error_of(csv + "0,m,u,1\n"), "line 1000002: more than 1000000 requests");
}

TEST(Trace, NamesTheFileThatIsWrong) {
  const std::string path = testing::TempDir() + "cachesim_trace_test.csv";
  const Result<Trace> missing = read_trace({path + ".missing"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kIo);
  const Result<Trace> folder = read_trace({testing::TempDir()});
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kIo);

  std::ofstream(path) << "arrival_s,model,user,service_s\n0,m,u,?\n";
  const Result<Trace> bad = read_trace({path});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(bad.error().message.substr(0, path.size() + 9), path + ": line 2:");

  std::ofstream(path) << "arrival_s,model,user,service_s\n0,m,u,1\n";
  EXPECT_TRUE(read_trace({path}));
  // Several files make one trace; each has its own first line.
  const std::string later = path + ".later";
  std::ofstream(later) << "user,arrival_s,model,service_s\nv,2,n,1\n";
  const std::string empty = path + ".empty";
  std::ofstream(empty) << "arrival_s,model,user,service_s\n";
  const Result<Trace> both = read_trace({later, empty, path});
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_EQ(to_csv(*both), "arrival_s,model,user,service_s\n0.000,m,u,1.000\n2.000,n,v,1.000\n");
  for (const std::string& file : {path, later, empty}) std::remove(file.c_str());
}

}  // namespace
}  // namespace minerva::cachesim
