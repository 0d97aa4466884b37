#include "router_api/answers.h"

#include "api/json.h"

namespace minerva::router_api {

std::string props_json(const RouterProps& props) {
  // Clients read the fields of a model's properties too. Where these are missing, clients use defaults.
  return api::dump({{"role", "router"},
                    {"max_instances", props.max_models},
                    {"models_autoload", true},
                    {"model_alias", "minerva"},
                    {"model_path", "none"},
                    {"default_generation_settings", {{"params", api::Json::object()}, {"n_ctx", 0}}},
                    {"ui_settings", api::Json::object()},
                    {"build_info", props.version},
                    {"cors_proxy_enabled", false}});
}

Result<std::string> parse_model_body(std::string_view body) {
  const api::Json json = api::Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return fail(ErrorCode::kInvalidArgument, "The body must be a JSON object: {\"model\": \"its id\"}.");
  }
  const auto model = json.find("model");
  if (model == json.end() || !model->is_string() || model->get_ref<const std::string&>().empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"model\" must be the id of a model (GET /v1/models lists them).",
                "model");
  }
  return model->get<std::string>();
}

std::string success_json() { return api::dump({{"success", true}}); }

}  // namespace minerva::router_api
