#include "brood/runtime/to_thread.hpp"

#include <uv.h>

#include "brood/runtime/runtime.hpp"
#include "system/error.hpp"

namespace brood::detail {

struct thread_call::request {
  uv_work_t uv{};
};

thread_call::thread_call(void (*run)(void*) noexcept, void* data)
    : run_(run), data_(data), request_(std::make_unique<request>()) {
  request_->uv.data = this;
}

thread_call::~thread_call() = default;

void thread_call::start() {
  const int result = uv_queue_work(
      runtime::current().loop(), &request_->uv,
      [](uv_work_t* work) {
        const auto& self = *static_cast<thread_call*>(work->data);
        self.run_(self.data_);
      },
      [](uv_work_t* work, int status) {
        auto& self = *static_cast<thread_call*>(work->data);
        self.has_run_ = status == 0;
        self.ended.set();
      });
  if (result < 0) sys::throw_errno("uv_queue_work", -result);
}

void thread_call::cancel() noexcept { uv_cancel(reinterpret_cast<uv_req_t*>(&request_->uv)); }

}  // namespace brood::detail
