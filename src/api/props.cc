#include "api/props.h"

#include <algorithm>

#include "api/json.h"

namespace minerva::api {

std::string props_json(const PropsAnswer& answer) {
  const auto takes = [&](std::string_view modality) {
    return std::find(answer.input_modalities.begin(), answer.input_modalities.end(), modality) !=
           answer.input_modalities.end();
  };
  return dump({{"state", residency_name(answer.state)},
               {"default_generation_settings", {{"params", Json::object()}, {"n_ctx", answer.context}}},
               {"total_slots", answer.slots},
               {"model_alias", answer.model},
               {"model_ftype", answer.quantization},
               {"model_path", answer.path},
               {"modalities", {{"vision", takes("image")}, {"video", takes("video")}, {"audio", takes("audio")}}},
               {"endpoint_slots", true},
               {"endpoint_props", false},
               {"chat_template", answer.chat_template},
               {"is_sleeping", answer.state == Residency::kParked}});
}

}  // namespace minerva::api
