// Keeps llama.cpp from reading settings of its own (/etc/llama.cpp/config.ini, ~/.config/llama.cpp/config.ini).
//
// Purpose: an engine's arguments are the daemon's alone. A settings file could give it another port, tools, a key.
#include <string>

#include "common/preset.h"

extern "C" {
// The linker's name for common_preset_context::load_from_ini(), which reads one such file.
common_presets
__wrap__ZNK21common_preset_context13load_from_iniERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEER13common_preset(
    const common_preset_context * context, const std::string & path, common_preset & global);
}

common_presets
__wrap__ZNK21common_preset_context13load_from_iniERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEER13common_preset(
    const common_preset_context * /*context*/, const std::string & /*path*/, common_preset & /*global*/) {
    return {};
}
