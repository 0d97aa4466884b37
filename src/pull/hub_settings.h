// HubSettings: which hub to ask, and with which token, from the environment variables that all programs of the hub use
// (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, SSL_CERT_FILE).
//
// Blocks on the token's file. Threading: any thread, while nobody sets variables.
#pragma once

#include <string>

#include "minerva/base/result.h"
#include "pull/address.h"

namespace minerva::pull {

struct HubSettings {
  Url endpoint;
  std::string token;        // empty: none
  std::string authorities;  // a file of certificates to trust; empty: the system's
  bool offline = false;
};

// Reads HF_ENDPOINT (default: the public hub), HF_HUB_OFFLINE and SSL_CERT_FILE. The token is in HF_TOKEN,
// HUGGING_FACE_HUB_TOKEN, or in the file HF_TOKEN_PATH, HF_HOME/token, XDG_CACHE_HOME/huggingface/token or
// ~/.cache/huggingface/token.
// Errors: kInvalidArgument: HF_ENDPOINT is no address.
Result<HubSettings> hub_settings_from_environment();

// Only the endpoint, to read names before anybody asks the hub. Errors: as above.
Result<Url> hub_endpoint();

}  // namespace minerva::pull
