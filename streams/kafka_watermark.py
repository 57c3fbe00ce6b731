"""The city's watermark, and how many signals wait for it, as the intake workers see it.

The newest record of the city's partition of a small compacted topic: two numbers.
"""

from __future__ import annotations

import asyncio

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.kafka_range import consumer
from streams.settings import Kafka

POLL_MS = 50


class WatermarkReader:
    """Follows the topic from its newest record on. Connects when it is first asked, and again after an error."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka, self._partition = kafka, TopicPartition(kafka.watermark_topic, kafka.partition)
        self._consumer: KafkaConsumer | None = None
        self._latest = (0, 0)

    async def latest(self) -> tuple[int, int]:
        """(ms UTC, signals); 0: not known. While Kafka does not answer, what was known last."""
        return await asyncio.to_thread(self._poll)

    def _poll(self) -> tuple[int, int]:
        try:
            if self._consumer is None:
                self._consumer = self._opened()
            for records in self._consumer.poll(timeout_ms=POLL_MS).values():
                for record in records:
                    watermark, _, waiting = (record.value or b"").partition(b" ")
                    if watermark.isdigit():
                        self._latest = int(watermark), int(waiting or 0)
        except (KafkaError, OSError):
            self._close()
        return self._latest

    def _opened(self) -> KafkaConsumer:
        opened = consumer(self._kafka)
        opened.assign([self._partition])
        end = opened.end_offsets([self._partition])[self._partition]
        opened.seek(self._partition, max(end - 1, 0))
        return opened

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
