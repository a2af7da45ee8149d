"""Models of random weights, made in a second, for rounds from end to end: a Llama as a GGUF file, a BERT as a folder.

The Llama has about 100,000 weights. It loads in llama.cpp (xllamacpp) and, through `convert_gguf`, in transformers,
and both answer with the same tokens.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

HIDDEN, LAYERS, HEADS, KV_HEADS, FEED_FORWARD, CONTEXT = 64, 2, 4, 2, 128, 2048
VOCABULARY = 600
ROPE_THETA, RMS_EPS = 10_000.0, 1e-5
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXTS = (
    "My internet has been down since this morning and the optical modem shows a red light.",
    "The Wi-Fi drops in the bedroom every evening, but it works in the kitchen.",
    "Why is my bill higher than last month? I want to dispute the charge of 25 euros.",
    "How do I change the password of the router? I forgot the old one.",
    "We are moving house on the 3rd of May. Can you move the line to the new address?",
    "The television freezes when two people watch at the same time.",
    "Read the customer's message and answer with exactly one of these labels.",
    "Examples:\n- one\n- two\n\nWrite one new, different message.",
)


def tiny_llama_gguf(path: Path, seed: int = 0, texts: Sequence[str] = TEXTS) -> Path:
    """Write a random Llama with a byte-level BPE tokenizer trained on `texts` to `path`, in float32; returns `path`.

    Hidden 64, 2 layers, 4 heads over 2 key-value heads, tied embeddings, at most 600 tokens, ChatML. The same seed
    and texts give the same bytes.
    """
    return tiny_gguf(path, "llama", KV_HEADS, seed, texts)


def tiny_gguf(
    path: Path,
    architecture: Literal["llama", "qwen2"],
    kv_heads: int = KV_HEADS,
    seed: int = 0,
    texts: Sequence[str] = TEXTS,
) -> Path:
    """The same of either architecture, with as many key-value heads as asked for; Qwen2 has biases on q, k and v."""
    tokens, merges = _byte_level_bpe(texts)
    weights = _random_network(architecture, kv_heads, len(tokens), seed)
    _write(path, architecture, kv_heads, tokens, merges, weights)
    return path


def tiny_adapter(folder: Path, base: Path, seed: int = 0, std: float = 0.1, **config: Any) -> Path:
    """Save a LoRA adapter of the model folder `base` to `folder`, in PEFT's layout; returns `folder`.

    Rank 4 on all linear layers unless `config` says otherwise. B is random like A (`std`), so that answers change.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
    from wheelwork.core.models.progress import quiet_transformers

    lora = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | config)
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, local_files_only=True), lora)
        for name, weight in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(weight, std=std)
        model.save_pretrained(folder)
    return folder


def _byte_level_bpe(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tokens by id and merges by rank, split as llama.cpp's `smollm` splits: every digit on its own, then GPT-2's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return tokens, [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]


def _random_network(architecture: str, kv_heads: int, vocabulary: int, seed: int) -> dict[str, Any]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    of, network = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[architecture]
    config = of(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=kv_heads,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=RMS_EPS,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        initializer_range=0.2,  # ten times the usual: answers that depend on the prompt, with clear gaps between logits
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network(config)
        for name, weight in model.named_parameters():
            if name.endswith(".bias"):  # zero at first, which would hide a bias that is lost
                torch.nn.init.normal_(weight, std=0.2)
    return {name: tensor.detach().float().numpy() for name, tensor in model.state_dict().items()}


def _write(
    path: Path, architecture: str, kv_heads: int, tokens: list[str], merges: list[str], weights: dict[str, Any]
) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(RMS_EPS)
    writer.add_vocab_size(len(tokens))

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in CONTROL else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_unk_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    interleaved = architecture == "llama"  # the converter of llama.cpp leaves Qwen2's rows as they are
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], LAYERS)
    for name, tensor in weights.items():
        if name == "lm_head.weight":  # tied: llama.cpp takes the embeddings when there is no output.weight
            continue
        if interleaved and name.endswith("q_proj.weight"):
            tensor = _interleaved(tensor, HEADS)
        elif interleaved and name.endswith("k_proj.weight"):
            tensor = _interleaved(tensor, kv_heads)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleaved(weight: Any, heads: int) -> Any:
    """Rows of a q or k projection in llama.cpp's order: rotary pairs side by side, not half a head apart."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns).copy()


def tiny_bert(folder: Path, words: Sequence[str], seed: int = 0) -> Path:
    """Save a random BERT that knows `words` to `folder`, as a loop's encoder: 32 dimensions, 2 layers; returns it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(folder)
    return folder


def tiny_reward(folder: Path, words: Sequence[str], outputs: int = 1, seed: int = 0) -> Path:
    """Save a random BERT with a classifier of `outputs` on it to `folder`, as a reward model has one; returns it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    tiny_bert(folder, words, seed)
    config = BertConfig.from_pretrained(folder, num_labels=outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def tiny_clip(folder: Path, words: Sequence[str], seed: int = 0) -> Path:
    """Save a random CLIP of 16 dimensions that knows `words` and pictures of 16 × 16 to `folder`; returns it."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from wheelwork.core.models.progress import quiet_transformers

    ends = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    letters = sorted(set("".join(words)))
    known = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = ends | {token: at for at, token in enumerate(known, len(ends))}
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    of_text = {"vocab_size": len(vocabulary), "max_position_embeddings": 24, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPConfig(
        text_config=small | of_text | {"pad_token_id": 1},
        vision_config=small | {"image_size": 16, "patch_size": 8},
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=[]), quiet_transformers():
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(folder)
        pictures = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
        CLIPProcessor(pictures, CLIPTokenizer(vocab=vocabulary, merges=[])).save_pretrained(folder)
    return folder
