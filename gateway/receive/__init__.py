"""Doors: bytes on a protocol → a durable record on `raw.<feed>`. One file per protocol. Nothing is understood here."""
