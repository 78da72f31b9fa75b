from bclip_core.captions.sentences import split_sentences
