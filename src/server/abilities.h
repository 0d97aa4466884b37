// Abilities: what a model can do, by its inspection and by the operator's settings; and the refusals of what it cannot
// do.
//
// Pure; the loop's thread. A command engine is not judged: only the engine itself knows what it can do.
#pragma once

#include <optional>
#include <string_view>

#include "api/needs.h"
#include "engine/model_spec.h"
#include "minerva/base/error.h"

namespace minerva {

// The reason why the model cannot do `work`, with what to do instead. Nothing if the model can, or if the operator's
// arguments decide it. Code: kUnsupported.
std::optional<Error> refuse_work(const ModelSpec& spec, const ModelMetadata& known, api::Work work);

// The same for a request that asks for that many answers.
std::optional<Error> refuse_answers(const ModelSpec& spec, api::Work work, unsigned answers);

// The refusal of a request that names a slot of the engine (Routing::names_slot). Code: kInvalidArgument.
Error refuse_named_slot();

// The kinds of media that the model's projector takes; all kinds where only the engine knows.
api::MediaKinds media_taken(const ModelMetadata& known);
// Whether a body for `work` may hold media, and so has to be searched for those that the model cannot take.
bool reads_parts(api::Work work);
Error refuse_media(const ModelId& model, const api::MediaKinds& taken, const api::Media& media);

}  // namespace minerva
