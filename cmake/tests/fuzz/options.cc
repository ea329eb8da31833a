#include "runner/options.h"

#include <string>
#include <vector>

#include "fuzz.h"

// Each line is a word of the command line.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::vector<std::string> words{"edge-seg-run"};
    std::string word;
    for (size_t i = 0; i < size; ++i) {
        if (data[i] != '\n' && data[i] != '\0') {
            word += static_cast<char>(data[i]);
            continue;
        }
        words.push_back(word);
        word.clear();
    }
    words.push_back(word);
    std::vector<char*> pointers;
    for (std::string& text : words) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return only_errors([&] { edge_seg::parse_options(static_cast<int>(words.size()), pointers.data()); });
}
