// The ready queue (an intrusive list) and the timer heap. See executor.hpp for who drives them.
#include "brood/coroutine/executor.hpp"

#include <stdexcept>
#include <utility>

#include "brood/coroutine/error.hpp"

namespace brood {
namespace {

thread_local executor* current_executor = nullptr;

// The clock costs about as much as a resumption, so it is read once in so many.
constexpr std::size_t nodes_between_clock_reads = 32;

}  // namespace

namespace detail {

void timer_heap::insert(timer_node& node) {
  node.order = inserted_++;
  heap_.push_back(&node);
  node.heap_index = heap_.size() - 1;
  sift_up(node.heap_index);
}

void timer_heap::remove(timer_node& node) noexcept {
  const std::size_t index = std::exchange(node.heap_index, timer_node::idle);
  timer_node* last = heap_.back();
  heap_.pop_back();
  if (last == &node) return;
  place(index, last);
  sift_up(index);
  sift_down(last->heap_index);
}

bool timer_heap::before(const timer_node& a, const timer_node& b) noexcept {
  return a.due != b.due ? a.due < b.due : a.order < b.order;
}

void timer_heap::place(std::size_t index, timer_node* node) noexcept {
  heap_[index] = node;
  node->heap_index = index;
}

void timer_heap::sift_up(std::size_t index) noexcept {
  timer_node* node = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!before(*node, *heap_[parent])) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, node);
}

void timer_heap::sift_down(std::size_t index) noexcept {
  timer_node* node = heap_[index];
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *node)) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, node);
}

}  // namespace detail

executor& executor::current() {
  if (current_executor == nullptr) {
    if (detail::forked) throw forked_process();
    throw std::logic_error(
        "brood: no loop runs on this thread; await inside brood::run or runtime::start, or use "
        "brood::sync_wait");
  }
  return *current_executor;
}

executor* executor::current_or_null() noexcept { return current_executor; }

executor::scope::scope(executor& e) noexcept : previous_(std::exchange(current_executor, &e)) {}
executor::scope::~scope() { current_executor = previous_; }

void executor::forget_current() noexcept { current_executor = nullptr; }

void executor::start_timer(detail::timer_node& node) {
  timers_.insert(node);
  if (&timers_.top() == &node) timers_changed();
}

void executor::stop_timer(detail::timer_node& node) noexcept {
  // The loop may wake once for nothing; cheaper than re-arming its timer at every cancelled timeout.
  if (node.heap_index != detail::timer_node::idle) {
    timers_.remove(node);
  } else {
    withdraw(node);
  }
}

std::size_t executor::run_ready(clock::duration budget) noexcept {
  if (!has_ready()) return 0;
  const auto end = clock::now() + budget;
  std::size_t count = 0;
  while (has_ready()) {
    detail::ready_node* node = queue_.next;
    withdraw(*node);
    node->run(*node);
    if (is_inherited()) break;
    if (++count % nodes_between_clock_reads == 0 && clock::now() >= end) break;
  }
  return count;
}

void executor::post_due_timers(clock::time_point now) noexcept {
  while (!timers_.empty() && timers_.top().due <= now) {
    detail::timer_node& node = timers_.top();
    timers_.remove(node);
    post(node);
  }
}

clock::time_point executor::next_timer() const noexcept {
  return timers_.empty() ? clock::time_point::max() : timers_.top().due;
}

}  // namespace brood
