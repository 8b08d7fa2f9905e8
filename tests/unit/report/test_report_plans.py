"""``ramferry plan`` on a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from ramferry.hardware.dma_memory import MemoryQuestion, plan_memory
from ramferry.hardware.method import GBIT, MethodQuestion, advise
from ramferry.metrics.host import MemoryPlan, MethodAdvice
from ramferry.report.lines import Lines
from ramferry.report.plans import print_memory, print_method


def memory(plan: MemoryPlan) -> str:
    text = io.StringIO()
    print_memory(plan, Lines(Console(file=text, width=80), fold=True))
    return text.getvalue()


def method(advice: MethodAdvice) -> str:
    text = io.StringIO()
    print_method(advice, Lines(Console(file=text, width=80), fold=True))
    return text.getvalue()


DEFAULT = """\
DMA memory of one process: 8 channels, 1 VF of a 4xxx device with 4 compression
instances, hw_buff_sz 64 KiB

                   low      high   memlock   huge pages
  sender        16 MiB    34 MiB    34 MiB           17
  receiver      20 MiB    38 MiB    38 MiB           19

  low: the channels take turns on one instance; high: each uses its own, as far
  as there are instances, and 4 MiB to spare; huge pages of 2 MiB, where they
  are used at all

QEMU's documented figures for one PF, beside the low ones of this plan
              channels   documented  this plan  equal
  sender             2       10 MiB     10 MiB  yes
  sender             4       12 MiB     12 MiB  yes
  sender             8       16 MiB     16 MiB  yes
  receiver           2       10 MiB     10 MiB  yes
  receiver           4       14 MiB     14 MiB  yes
  receiver           8       20 MiB     20 MiB  yes

Settings, for the larger of the figures above
  /etc/security/limits.d/60-qat.conf
      @qat - memlock 38912
  systemd unit, [Service]
      LimitMEMLOCK=38M
  only where qatlib is to use huge pages: /etc/sysctl.d/60-qat.conf
      vm.nr_hugepages = 19
  and, from qatlib 26.08 on, the environment of the process
      QAT_MAX_2M_HPG_PER_PROCESS=19
"""


def test_the_default_plan() -> None:
    assert memory(plan_memory(MemoryQuestion(8, 1, 4), ("sender", "receiver"))) == DEFAULT


def test_a_plan_that_differs_says_so_and_is_marked_as_an_estimate() -> None:
    question = MemoryQuestion(4, 3, 12, hw_buff_sz=131072, family="C62x")
    text = memory(plan_memory(question, ("sender",)))
    assert "  sender        26 MiB    72 MiB       n/a           36\n" in text
    assert "  estimate  hw_buff_sz is not QATzip's default of 64 KiB\n" in text
    assert "  estimate  the out-of-tree driver may count" in text
    assert "  sender             4       12 MiB     26 MiB  no\n" in text
    assert "the documented figures hold for one VF with four instances" in text


ADVICE = """\
  no   a link above 25 Gbit/s carries more uncompressed than compression is
       known to feed
         link: 10 Gbit/s (--bandwidth)
  no   QEMU 1: limited by the link, and more QAT than IAA: qatzip
         link: 10 Gbit/s (--bandwidth); 2 QAT (--qat), 2 IAA (--iaa)
  yes  QEMU 2: no shared virtual memory (SVM), without which QPL is slow: qatzip
         SVM: no (--no-svm); 2 QAT (--qat), 2 IAA (--iaa)

qatzip in hardware at level 1
$ ramferry migrate SOURCE DESTINATION --method qatzip --level 1
"""


def test_advice_shows_each_rule_with_its_evidence_and_the_choice_last() -> None:
    question = MethodQuestion(2, 2, False, 10 * GBIT, 8, svm_from="--no-svm")
    assert method(advise(question)) == ADVICE


def test_advice_not_to_compress() -> None:
    text = method(advise(MethodQuestion(0, 0, False, 40 * GBIT, 8)))
    assert text.endswith(
        "\nnone: send the memory as it is\n$ ramferry migrate SOURCE DESTINATION --method none\n"
    )
