// Source positions and diagnostics, shared by every room.
//
// Thread-safety: plain values; a SourceMap or Diagnostics object must not be changed by two threads at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cardinal {

// A span of characters in one line of a source file. `file` 0 means "no place in a source file".
struct SourceLocation {
  uint32_t file = 0;    // id from SourceMap::add, or 0
  uint32_t line = 0;    // from 1
  uint32_t column = 0;  // from 1, in bytes
  uint32_t length = 1;  // bytes to underline
  bool operator==(const SourceLocation&) const = default;
  explicit operator bool() const { return file != 0; }
};

// Owns the texts that locations point into.
class SourceMap {
 public:
  // Returns the new file's id (from 1). `path` is what diagnostics print.
  uint32_t add(std::string path, std::string text);
  uint32_t count() const { return static_cast<uint32_t>(files_.size()); }
  std::string_view path(uint32_t file) const;
  std::string_view text(uint32_t file) const;
  // The line without its newline; empty if there is none.
  std::string_view line(uint32_t file, uint32_t line) const;
  // "path:line:column", or "" for a location without a file.
  std::string describe(SourceLocation where) const;

 private:
  struct File {
    std::string path, text;
    std::vector<size_t> line_starts;
  };
  std::vector<File> files_;
};

enum class Severity : uint8_t { error, warning, note };

// One message. House style: lower case, no full stop, both numbers present, says what to do.
struct Diagnostic {
  Severity severity = Severity::error;
  SourceLocation where;
  std::string message;
  // How the surprising fact came about, in order ("conv1 made it f32[1, 96, 56, 56]").
  struct Note {
    SourceLocation where;
    std::string message;
  };
  std::vector<Note> notes;
};

// An ordered collection of messages; the failure side of Result<T>.
class Diagnostics {
 public:
  Diagnostics() = default;
  explicit Diagnostics(std::string message, SourceLocation where = {}) { error(where, std::move(message)); }
  Diagnostic& error(SourceLocation where, std::string message);
  Diagnostic& warning(SourceLocation where, std::string message);
  void append(Diagnostics other);
  bool has_errors() const;
  bool empty() const { return list_.empty(); }
  const std::vector<Diagnostic>& list() const { return list_; }
  // As a terminal shows it: `path:line:col: error: message`, the source line, a caret line, the notes.
  std::string render(const SourceMap& sources) const;

 private:
  std::vector<Diagnostic> list_;
};

}  // namespace cardinal
