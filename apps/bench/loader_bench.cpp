// The loader on JPEG files like ImageNet's, driven by cases_loader.py.
//
//   loader_bench make FOLDER COUNT: writes so many images, 500x375, into FOLDER/train/a,
//   FOLDER/val/a
//
//   loader_bench load FOLDER: answers each line of standard input with one
//
//     pass WORKERS: a training pass (random_resized_crop, flip, normalised, batches of 32); seconds
//
//     test FILE: the test images, as a test sees them, go to FILE, float32; their number
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <jpeglib.h>

#include "data/loader.h"
#include "data/random.h"

namespace {

using namespace rewire::data;
namespace fs = std::filesystem;

constexpr int kWidth = 500, kHeight = 375;

// Waves with noise on them: at this quality about as many bytes as the files of ImageNet have.
std::vector<uint8_t> pixels_of(int64_t number) {
  std::vector<uint8_t> pixels;
  Random random(1, 0, number, Purpose::augmentation);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (int c = 0; c < 3; ++c) {
        const double wave = std::sin(0.03 * x * (c + 1) + double(number)) + std::cos(0.05 * y - c);
        pixels.push_back(uint8_t(128 + 45 * wave + 30 * (random.uniform() - 0.5)));
      }
    }
  }
  return pixels;
}

void write_jpeg(const fs::path& path, std::vector<uint8_t> pixels) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file) throw std::runtime_error(path.string() + ": cannot be written");
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  jpeg_stdio_dest(&info, file);
  info.image_width = kWidth;
  info.image_height = kHeight;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 90, TRUE);
  jpeg_start_compress(&info, TRUE);
  for (int y = 0; y < kHeight; ++y) {
    uint8_t* row = pixels.data() + size_t(3) * kWidth * y;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::fclose(file);
}

void make(const fs::path& folder, int64_t count) {
  for (const char* split : {"train", "val"}) {
    fs::create_directories(folder / split / "a");
    for (int64_t i = 0; i < count; ++i) {
      write_jpeg(folder / split / "a" / fmt::format("{:05}.jpg", i), pixels_of(i));
    }
  }
}

LoaderOptions options(int64_t workers) {
  LoaderOptions options;
  options.batch_size = 32;
  options.workers = workers;
  options.normalize = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};
  return options;
}

double pass(const Dataset& dataset, int64_t workers) {
  LoaderOptions chosen = options(workers);
  chosen.shuffle = true;
  chosen.augment = {{.kind = "random_resized_crop", .size = {}},
                    {.kind = "horizontal_flip", .size = {}}};
  const auto start = std::chrono::steady_clock::now();
  Loader loader(dataset, chosen);
  while (loader.next()) {
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t write_test_images(const Dataset& dataset, const fs::path& path) {
  std::ofstream file(path, std::ios::binary);
  int64_t images = 0;
  Loader loader(dataset, options(0));
  while (const auto batch = loader.next()) {
    images += batch->images.size(0);
    file.write(static_cast<const char*>(batch->images.const_data_ptr()),
               std::streamsize(batch->images.nbytes()));
  }
  if (!file.flush()) throw std::runtime_error(path.string() + ": cannot be written");
  return images;
}

void load(const fs::path& folder) {
  Description description{.kind = "imagefolder", .classes = 1};
  description.root = std::string(".");
  const Dataset train = open(description, folder, Split::train);
  const Dataset test = open(description, folder, Split::test);
  for (std::string line, word, argument; std::getline(std::cin, line);) {
    std::istringstream(line) >> word >> argument;
    if (word == "pass") {
      std::cout << pass(train, std::stoll(argument)) << std::endl;
    } else if (word == "test") {
      std::cout << write_test_images(test, argument) << std::endl;
    } else {
      throw std::invalid_argument("expected pass WORKERS or test FILE, got " + line);
    }
  }
}

}  // namespace

int main(int count, char** words) try {
  const std::vector<std::string> arguments(words + 1, words + count);
  if (arguments.size() == 3 && arguments[0] == "make") {
    make(arguments[1], std::stoll(arguments[2]));
  } else if (arguments.size() == 2 && arguments[0] == "load") {
    load(arguments[1]);
  } else {
    throw std::invalid_argument("loader_bench make FOLDER COUNT, or loader_bench load FOLDER");
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << std::endl;
  return 1;
}
