// The Mandelbrot set as a PNG: a pool computes the rows, each as soon as there is a worker for it, and they
// are written in their order while the others are computed.
#include <fmt/core.h>
#include <png.h>

#include <CLI/CLI.hpp>
#include <brood/brood.hpp>
#include <complex>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct view {
  int width = 1200;
  int height = 800;
  double left = -2.2, right = 0.8, top = 1.0, bottom = -1.0;
  int most_steps = 1000;
};

using row = std::vector<std::uint8_t>;  // red, green, blue

/// After how many steps the point leaves the circle in which the set lies; `most` if it does not.
int steps_of(std::complex<double> c, int most) {
  std::complex<double> z = 0;
  int steps = 0;
  for (; steps < most && std::norm(z) <= 4; ++steps) z = z * z + c;
  return steps;
}

void colour(std::uint8_t* pixel, int steps, int most) {
  if (steps == most) return;  // the set is black
  const double t = static_cast<double>(steps % 64) / 64;
  pixel[0] = static_cast<std::uint8_t>(9 * (1 - t) * t * t * t * 255);
  pixel[1] = static_cast<std::uint8_t>(15 * (1 - t) * (1 - t) * t * t * 255);
  pixel[2] = static_cast<std::uint8_t>(8.5 * (1 - t) * (1 - t) * (1 - t) * t * 255);
}

view shown;  // in a worker: set by its initializer

void show(view v) { shown = v; }

row compute(int y) {
  row pixels(static_cast<std::size_t>(shown.width) * 3);
  const double imaginary = shown.top + (shown.bottom - shown.top) * y / shown.height;
  for (int x = 0; x < shown.width; ++x) {
    const double real = shown.left + (shown.right - shown.left) * x / shown.width;
    colour(&pixels[static_cast<std::size_t>(x) * 3], steps_of({real, imaginary}, shown.most_steps),
           shown.most_steps);
  }
  return pixels;
}

/// Writes rows to a file as they come.
class png_file {
 public:
  png_file(const std::string& path, int width, int height)
      : file_(std::fopen(path.c_str(), "wb"), &std::fclose) {
    if (file_ == nullptr) throw std::runtime_error("cannot write " + path);
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, &fail, nullptr);
    info_ = png_create_info_struct(png_);
    png_init_io(png_, file_.get());
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
  }
  png_file(const png_file&) = delete;
  png_file& operator=(const png_file&) = delete;
  ~png_file() { png_destroy_write_struct(&png_, &info_); }

  void write(const row& pixels) { png_write_row(png_, pixels.data()); }
  void finish() { png_write_end(png_, nullptr); }

 private:
  [[noreturn]] static void fail(png_structp, png_const_charp why) { throw std::runtime_error(why); }

  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

brood::task<> draw(view v, std::string path, int workers) {
  auto pool = co_await brood::pool::open(workers).initializer<show>(v);
  png_file file(path, v.width, v.height);
  auto rows = pool.imap<compute>(std::views::iota(0, v.height));
  for (int done = 1; const auto next = co_await rows.next(); ++done) {
    file.write(*next);
    if (done % 50 == 0 || done == v.height) fmt::print(stderr, "\r{} of {} rows", done, v.height);
  }
  file.finish();
  fmt::print(stderr, "\n");
  const auto stats = pool.stats();
  fmt::print("{}: {} x {}, {} rows by {} workers\n", path, v.width, v.height, stats.tasks_done,
             stats.workers);
  co_await pool.close();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The Mandelbrot set, by a pool of processes");
  view v;
  std::string path = "mandelbrot.png";
  int workers = brood::cpu_count();
  app.add_option("--width", v.width)->check(CLI::Range(1, 100'000));
  app.add_option("--height", v.height)->check(CLI::Range(1, 100'000));
  app.add_option("--steps", v.most_steps)->check(CLI::PositiveNumber);
  app.add_option("--workers", workers)->check(CLI::PositiveNumber);
  app.add_option("file", path, "the PNG");
  CLI11_PARSE(app, argc, argv);
  return brood::run(argc, argv, [&]() { return draw(v, path, workers); });
}
