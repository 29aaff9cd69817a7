"""What a user writes, for the type checker alone: `test_types.py` runs mypy on it. A marked line is a mistake."""

from numpygpt import GPT2, Sampling, Tokenizer

model: GPT2 = GPT2.from_pretrained("stories")
text: str = model.generate("Once upon a time")
longer: str = model.generate("Once", 60, temperature=0.8, top_k=40, seed=1, stop_strings=["\n"], eos_token_id=[1, 2])
several: list[str] = model.generate(["Once", "The"], max_new_tokens=20, top_p=0.9, num_return_sequences=2)
pieces: list[str] = list(model.stream("Once", min_new_tokens=5, max_length=30, allowed_special="all"))
answer: str = model.chat([{"role": "user", "content": "Hello"}], temperature=0.5)
likeliest: list[tuple[str, float]] = model.top("Once upon a", 3)
tokens: list[tuple[int, str]] = model.tokens("Once")
model.save("folder", overwrite=True)
ids: list[int] = Tokenizer().encode("Hello")
greedy: bool = Sampling(temperature=0.5).is_greedy

model.generate("Once", tempreature=5)  # mistake
model.generate("Once", temperature="hot")  # mistake
model.generate(5)  # mistake
model.stream("Once", num_return_sequences=2)  # mistake
wrong: int = model.generate("Once")  # mistake
model.generate(["Once"]).upper()  # mistake
model.chat("Hello")  # mistake
model.top("Once", n="many")  # mistake
