#include "api/props.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

TEST(Props, HasTheFieldsOfAnEngineAndTheState) {
  PropsAnswer answer;
  answer.model = "org/a";
  answer.state = Residency::kParked;
  answer.path = "/models/a.gguf";
  answer.quantization = "Q4_K_M";
  answer.chat_template = "{{ messages }}\xff";
  answer.context = 4096;
  answer.slots = 2;
  answer.input_modalities = {"text", "image"};
  EXPECT_EQ(props_json(answer),
            R"({"state":"parked","default_generation_settings":{"params":{},"n_ctx":4096},"total_slots":2,)"
            R"("model_alias":"org/a","model_ftype":"Q4_K_M","model_path":"/models/a.gguf",)"
            R"("modalities":{"vision":true,"video":false,"audio":false},"endpoint_slots":true,"endpoint_props":false,)"
            "\"chat_template\":\"{{ messages }}\xef\xbf\xbd\",\"is_sleeping\":true}");
  EXPECT_NE(props_json({}).find(R"("state":"cold")"), std::string::npos);
}

}  // namespace
}  // namespace minerva::api
