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

// Bound to the one type of executor that we use. Asio's own aliases erase the type, which costs time in every
// operation.
using StreamDescriptor = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;
using SteadyTimer = asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                                               asio::io_context::executor_type>;

struct Loop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  asio::signal_set signals{context};
  // Last member: its threads post to the context, so they have to be joined first.
  asio::thread_pool awaited{2};
  asio::thread_pool disk{2};
  asio::thread_pool& pool(Lane lane) { return lane == Lane::kAwaited ? awaited : disk; }
};

}  // namespace minerva::io
