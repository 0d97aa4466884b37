// HubSettings: which hub is asked, and as whom, as the environment says it to every program that speaks to one
// (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE).
//
// Blocks on the token's file; any thread, while nobody sets variables.
#pragma once

#include <string>

#include "minerva/base/result.h"
#include "pull/address.h"

namespace minerva::pull {

struct HubSettings {
  Url endpoint;
  std::string token;  // empty: none
  bool offline = false;
};

// HF_ENDPOINT (default: the public hub); HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or the file HF_TOKEN_PATH, HF_HOME/token,
// XDG_CACHE_HOME/huggingface/token or ~/.cache/huggingface/token; HF_HUB_OFFLINE.
// Errors: kInvalidArgument: HF_ENDPOINT is no address.
Result<HubSettings> hub_settings_from_environment();

// The endpoint alone, for names that are read before anybody asks the hub. Errors: as above.
Result<Url> hub_endpoint();

}  // namespace minerva::pull
