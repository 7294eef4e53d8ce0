// HDF5 through libhdf5, which may crash on damaged files: only for use apart (apart.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace cardinal {

struct Hdf5Dataset {
  std::string path;  // "layers/conv2d/vars/0"
  std::vector<uint64_t> dims;
  std::string unreadable;  // a dtype that is not a floating-point number, else ""
};

class Hdf5File {
 public:
  Hdf5File() = default;
  Hdf5File(const Hdf5File&) = delete;
  Hdf5File& operator=(const Hdf5File&) = delete;
  ~Hdf5File();

  // Lists what the file with these bytes holds; "" or the problem. Links are not followed. The bytes are not
  // copied.
  std::string open(std::span<const std::byte> bytes);
  const std::vector<Hdf5Dataset>& datasets() const { return datasets_; }
  // The text attribute `name` of groups that have one, by the groups' paths.
  const std::map<std::string, std::string>& group_names() const { return group_names_; }
  // Converts all elements to f32; `out` has room for them. Whether it worked.
  bool read(const Hdf5Dataset& dataset, float* out) const;

 private:
  std::string list(int64_t group, const std::string& path, int depth);
  std::string describe(int64_t dataset, const std::string& path);

  int64_t file_ = -1;
  size_t objects_ = 0;
  std::vector<Hdf5Dataset> datasets_;
  std::map<std::string, std::string> group_names_;
};

}  // namespace cardinal
