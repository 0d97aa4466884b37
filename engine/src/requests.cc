// Requests on their way into llama.cpp's server: whose they are, and what files have of their prompts.
//
// Purpose: the linker gives us the calls that register a handler and that post a request's tasks (`-Wl,--wrap=`). Both
// run on the thread of the request. Before the tasks are posted, a slot gets what files have of the prompt: so the
// server finds it there as it finds any other conversation.
// Threading: any but the main one.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "keeper.h"
#include "protocol/conversations.h"
#include "slots.h"
#include "tools/server/server-http.h"
#include "tools/server/server-queue.h"

extern "C" {
// The linker's names for server_http_context::post() and server_response_reader::post_tasks().
void __real__ZNK19server_http_context4postERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERKSt8functionIFSt10unique_ptrI15server_http_resSt14default_deleteISA_EERK15server_http_reqEE(
    const server_http_context * context, const std::string & path, const server_http_context::handler_t & handler);
void __wrap__ZNK19server_http_context4postERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERKSt8functionIFSt10unique_ptrI15server_http_resSt14default_deleteISA_EERK15server_http_reqEE(
    const server_http_context * context, const std::string & path, const server_http_context::handler_t & handler);
void __real__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(server_response_reader * reader,
                                                                                      std::vector<server_task> && tasks,
                                                                                      bool front);
void __wrap__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(server_response_reader * reader,
                                                                                      std::vector<server_task> && tasks,
                                                                                      bool front);
}

namespace {

namespace protocol = minerva::protocol;

// Of the request that this thread serves.
thread_local std::string request_tenant = protocol::kOnlyTenant;
thread_local bool request_is_private = false;
thread_local std::uint32_t restored_tokens = 0;

// Header names have no case; get_headers() keeps the client's.
bool is_named(const std::string & header, std::string_view name) {
    return header.size() == name.size() && std::equal(header.begin(), header.end(), name.begin(), [](char a, char b) {
               return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b;
           });
}

server_http_res_ptr serve(const server_http_context::handler_t & handler, const server_http_req & request) {
    request_tenant = protocol::kOnlyTenant;
    request_is_private = false;
    restored_tokens = 0;
    for (const auto & [name, value] : request.headers) {
        if (is_named(name, protocol::kTenantHeader) && protocol::is_tenant(value)) {
            request_tenant = value;
        }
        request_is_private = request_is_private || is_named(name, protocol::kPrivateHeader);
    }
    server_http_res_ptr answer = handler(request);
    if (answer && restored_tokens > 0) {
        answer->headers[protocol::kRestoredHeader] = std::to_string(restored_tokens);
    }
    return answer;
}

}  // namespace

void __wrap__ZNK19server_http_context4postERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERKSt8functionIFSt10unique_ptrI15server_http_resSt14default_deleteISA_EERK15server_http_reqEE(
    const server_http_context * context, const std::string & path, const server_http_context::handler_t & handler) {
    __real__ZNK19server_http_context4postERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEERKSt8functionIFSt10unique_ptrI15server_http_resSt14default_deleteISA_EERK15server_http_reqEE(
        context, path, [handler](const server_http_req & request) { return serve(handler, request); });
}

void __wrap__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(server_response_reader * reader,
                                                                                      std::vector<server_task> && tasks,
                                                                                      bool front) {
    for (server_task & task : tasks) {
        minerva::engine::set_tenant(task, request_tenant);
        task.params.cache_prompt = task.params.cache_prompt && !request_is_private;
    }
    if (minerva::engine::keeps_conversations() && tasks.size() == 1) {
        const minerva::engine::Prompt prompt = minerva::engine::kept_prompt(tasks.front());
        if (!prompt.tokens.empty()) {
            restored_tokens = minerva::engine::restore_conversation(request_tenant, prompt);
        }
    }
    __real__ZN22server_response_reader10post_tasksEOSt6vectorI11server_taskSaIS1_EEb(reader, std::move(tasks), front);
}
