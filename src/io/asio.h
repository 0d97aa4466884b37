// Asio, for the sources of this folder only.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "io/loop.h"

namespace minerva::io {

namespace asio = boost::asio;

// Bound to the one kind of executor there is: Asio's own aliases erase its type, at a price for every operation.
using StreamDescriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;
using SteadyTimer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                               asio::io_context::executor_type>;

struct Loop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  asio::signal_set signals{context};
  // Last: their threads post to the context and are joined first.
  asio::thread_pool awaited{2};
  asio::thread_pool disk{2};
  asio::thread_pool& pool(Lane lane) { return lane == Lane::kAwaited ? awaited : disk; }
};

}  // namespace minerva::io
