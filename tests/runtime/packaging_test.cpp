#include <cardinal/abi.h>
#include <cardinal/packaging.h>

#include <catch2/catch.hpp>

#include "tests/runtime/scratch_directory.h"

using Catch::Matchers::Contains;

TEST_CASE("a file is replaced as a whole and leaves nothing else behind") {
  const ScratchDirectory directory;
  const std::string path = directory.file("out");
  const std::string_view pieces[] = {"one ", "", "two"};
  cardinal::write_file(path, pieces).value();
  CHECK(read_text(path) == "one two");
  const std::string_view shorter[] = {"three"};
  cardinal::write_file(path, shorter).value();
  CHECK(read_text(path) == "three");
  std::filesystem::create_symlink(path, directory.file("link"));
  cardinal::write_file(directory.file("link"), pieces).value();
  CHECK(std::filesystem::is_symlink(directory.file("link")));
  CHECK(read_text(path) == "one two");
  CHECK(directory.count() == 2);
}

TEST_CASE("a file that cannot be written is reported") {
  const ScratchDirectory directory;
  const std::string_view pieces[] = {"text"};
  const auto why = [&](const std::string& path) {
    const auto written = cardinal::write_file(path, pieces);
    REQUIRE_FALSE(written.ok());
    return written.error().message();
  };
  CHECK_THAT(why(directory.path()), Contains("is a directory"));
  CHECK_THAT(why(directory.file("absent/out")), Contains("absent/out: cannot write: No such file"));
  CHECK_THAT(why("/dev/full"), Contains("/dev/full: cannot write: No space left"));
  CHECK(cardinal::write_file("/dev/null", pieces).ok());
  CHECK(std::filesystem::is_character_file("/dev/null"));
  CHECK(directory.count() == 0);
}

TEST_CASE("a symbol that does not fit the trailer is refused") {
  const ScratchDirectory directory;
  const std::string path = directory.file("x.so");
  write_text(path, "image");
  CHECK_THAT(cardinal::append_trailer(path, std::string(216, 'a')).error().message(),
             Contains("1 to 215 characters"));
  CHECK_FALSE(cardinal::append_trailer(path, "").ok());
  CHECK(read_text(path) == "image");
  CHECK(cardinal::append_trailer(path, std::string(215, 'a')).ok());
  CHECK(read_text(path).size() == 5 + sizeof(cardinal_trailer));
}
