"""The city's watermark as the intake workers see it: the newest record of its partition of a small compacted topic."""

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
        self._latest_ms = 0

    async def latest(self) -> int:
        """Ms UTC; 0: not known. While Kafka does not answer, what was known last."""
        return await asyncio.to_thread(self._poll)

    def _poll(self) -> int:
        try:
            if self._consumer is None:
                self._consumer = self._opened()
            for records in self._consumer.poll(timeout_ms=POLL_MS).values():
                for record in records:
                    if record.value and record.value.isdigit():
                        self._latest_ms = int(record.value)
        except (KafkaError, OSError):
            self._close()
        return self._latest_ms

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
