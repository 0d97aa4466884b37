#include "list_options.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "arg.h"
#include "common.h"

namespace minerva::engine {
namespace {

int values_of(const common_arg & option) {
    if (option.handler_void != nullptr || option.handler_bool != nullptr) return 0;
    return option.handler_str_str != nullptr ? 2 : 1;
}

}  // namespace

int list_options() {
    common_params params;
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const common_arg & option : common_params_parser_init(params, LLAMA_EXAMPLE_SERVER).options) {
        list.push_back({{"names", option.get_args()},
                        {"values", values_of(option)},
                        {"hint", option.value_hint == nullptr ? "" : option.value_hint}});
    }
    std::puts(list.dump().c_str());
    return 0;
}

}  // namespace minerva::engine
