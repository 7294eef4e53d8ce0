#include "ir/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

namespace cardinal {

uint32_t SourceMap::add(std::string path, std::string text) {
  File file{std::move(path), std::move(text), {0}};
  for (size_t i = 0; i < file.text.size(); ++i)
    if (file.text[i] == '\n') file.line_starts.push_back(i + 1);
  files_.push_back(std::move(file));
  return static_cast<uint32_t>(files_.size());
}

std::string_view SourceMap::path(uint32_t file) const {
  return file == 0 || file > files_.size() ? std::string_view{} : std::string_view(files_[file - 1].path);
}

std::string_view SourceMap::text(uint32_t file) const {
  return file == 0 || file > files_.size() ? std::string_view{} : std::string_view(files_[file - 1].text);
}

std::string_view SourceMap::line(uint32_t file, uint32_t line) const {
  if (file == 0 || file > files_.size()) return {};
  const File& f = files_[file - 1];
  if (line == 0 || line > f.line_starts.size()) return {};
  size_t begin = f.line_starts[line - 1];
  size_t end = line < f.line_starts.size() ? f.line_starts[line] - 1 : f.text.size();
  std::string_view view = std::string_view(f.text).substr(begin, end - begin);
  if (!view.empty() && view.back() == '\r') view.remove_suffix(1);
  return view;
}

std::string SourceMap::describe(SourceLocation where) const {
  if (!where || where.file > files_.size()) return {};
  return fmt::format("{}:{}:{}", path(where.file), where.line, where.column);
}

Diagnostic& Diagnostics::error(SourceLocation where, std::string message) {
  return list_.emplace_back(Diagnostic{Severity::error, where, std::move(message), {}});
}

Diagnostic& Diagnostics::warning(SourceLocation where, std::string message) {
  return list_.emplace_back(Diagnostic{Severity::warning, where, std::move(message), {}});
}

void Diagnostics::append(Diagnostics other) {
  std::move(other.list_.begin(), other.list_.end(), std::back_inserter(list_));
}

bool Diagnostics::has_errors() const {
  return std::any_of(list_.begin(), list_.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::error; });
}

namespace {

// The source line with tabs kept, and a caret line below it that lines up with it.
void render_excerpt(std::string& out, const SourceMap& sources, SourceLocation where) {
  std::string_view line = sources.line(where.file, where.line);
  if (!where || line.empty()) return;
  out += fmt::format("  {}\n  ", line);
  size_t column = std::min<size_t>(where.column ? where.column - 1 : 0, line.size());
  for (size_t i = 0; i < column; ++i) out += line[i] == '\t' ? '\t' : ' ';
  size_t length = std::clamp<size_t>(where.length, 1, std::max<size_t>(1, line.size() - column));
  out += '^';
  out.append(length - 1, '~');
  out += '\n';
}

std::string prefix(const SourceMap& sources, SourceLocation where) {
  std::string place = sources.describe(where);
  return place.empty() ? std::string("cardinal: ") : place + ": ";
}

}  // namespace

std::string Diagnostics::render(const SourceMap& sources) const {
  std::string out;
  for (const Diagnostic& d : list_) {
    const char* kind = d.severity == Severity::error     ? "error"
                       : d.severity == Severity::warning ? "warning"
                                                         : "note";
    out += fmt::format("{}{}: {}\n", prefix(sources, d.where), kind, d.message);
    render_excerpt(out, sources, d.where);
    for (const Diagnostic::Note& note : d.notes) {
      out += fmt::format("{}note: {}\n", prefix(sources, note.where), note.message);
      render_excerpt(out, sources, note.where);
    }
  }
  return out;
}

}  // namespace cardinal
