// The answer of GET /props for a model that is not hot: the fields of llama.cpp's server, as far as they are known
// without loading the model, and the model's state.
//
// A plain function over plain values; any thread.
#pragma once

#include <string>
#include <vector>

#include "minerva/base/ids.h"
#include "minerva/context/types.h"

namespace minerva::api {

struct PropsAnswer {
  ModelId model;
  Residency state = Residency::kCold;
  std::string path;                           // of the model's file; empty if a command engine serves it
  std::string quantization;                   // empty: unknown
  std::string chat_template;                  // empty: none, or unknown
  unsigned context = 0;                       // tokens per conversation; 0: unknown
  unsigned slots = 0;                         // conversations at once
  std::vector<std::string> input_modalities;  // "text", "image", "audio"
};
std::string props_json(const PropsAnswer& answer);

}  // namespace minerva::api
