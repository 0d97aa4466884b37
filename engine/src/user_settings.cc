// Keeps llama.cpp from reading its own settings (/etc/llama.cpp/config.ini, ~/.config/llama.cpp/config.ini).
//
// Purpose: only the daemon gives arguments to an engine. A settings file could set another port, tools or a key.
#include <string>

#include "common/preset.h"

extern "C" {
// The linker's name for common_preset_context::load_from_ini(), which reads such a file.
common_presets
__wrap__ZNK21common_preset_context13load_from_iniERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEER13common_preset(
    const common_preset_context * context, const std::string & path, common_preset & global);
}

common_presets
__wrap__ZNK21common_preset_context13load_from_iniERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEER13common_preset(
    const common_preset_context * /*context*/, const std::string & /*path*/, common_preset & /*global*/) {
    return {};
}
