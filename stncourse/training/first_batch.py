"""The first batch: what is tried on it, so that a model that breaks the contract is refused before the first step."""

import torch

from stncourse._modes import in_eval
from stncourse.data.batches import Batches
from stncourse.training import contract
from stncourse.training.evaluation import sums_of
from stncourse.training.model_state import remember_buffers
from stncourse.training.theta_record import blamed_on


def first_loss(run, images, labels):
    """The loss of the first batch; a model that breaks the contract is left as it was, by all processes together."""
    put_back, loss, problem = remember_buffers(run.model), None, None
    try:
        _try_other_batches(run, images, labels)
        _try_measures(run)
        loss = run.loss(images, labels)
        mine = run.group.share(len(images))
        if mine.start < mine.stop:
            contract.check_depends(loss, own=run.objective.loss_name is not None)
            if run.objective.loss_name is not None and run.freezing.will_freeze:
                contract.check_depends_on_more(loss, run.model, run.freezing.localization, run.recipe)
    except Exception as error:
        put_back()
        problem = error
    run.refused = run.group.any(problem is not None)
    if run.refused:
        raise problem or ValueError("model: another process of this training refuses it, and says why")
    run.checked = True
    return loss


def _try_other_batches(run, images, labels):
    """What may come only at the end of an epoch: a batch, or a process's share of it, of one; images of other sizes."""
    if _leaves_one(run, run.recipe.batch_size):
        with contract.rehearsal(run.model, run.device):
            _try_one(run, images[:1], labels[:1])
    if run.test is not None and run.test.images.shape[1:] != images.shape[1:]:
        with in_eval(run.model), torch.no_grad():
            few = run.test.normalize(run.test.images[:2]).to(run.device)
            run.answer(few)
    if run.watched is not None and run.watched.images.shape[1:] != images.shape[1:]:
        watched = run.watched.images
        with in_eval(run.model), torch.no_grad(), blamed_on("watch", watched):
            run.answer(run.train.normalize(watched).to(run.device))


def _try_measures(run):
    """Functions of one's own may fail for the test digits, or return something else than they should."""
    if run.test is not None and not run.objective.is_default:
        with contract.rehearsal(run.model, run.device), in_eval(run.model):
            sums_of(run.model, Batches(run.test.subset(slice(2)), device=run.device), run.objective)


def _try_one(run, image, label):
    try:
        run.objective.mean(run.answer(image), label)
    except Exception as error:
        # Or is it something else that is wrong?
        run.objective.mean(run.answer(image.repeat(2, 1, 1, 1)), torch.cat([label, label]))
        size, count = run.recipe.batch_size, len(run.train)
        other = next((n for n in range(size + 1, count + 1) if not _leaves_one(run, n)), None)
        shared = f" in {run.group.size} processes" if run.group.size > 1 else ""
        raise ValueError(
            f"batch_size: expected one that leaves no image alone, which this model cannot learn from "
            f"({contract.reason_of(error)}), got {size} for {count} images{shared}"
            + (f"; {other} would do" if other else "")
        ) from error


def _leaves_one(run, batch_size):
    """Whether some process gets a single image of some batch."""
    count = len(run.train)
    sizes = {min(batch_size, count), count % batch_size}
    shares = [run.group.share(size, rank) for size in sizes for rank in range(run.group.size)]
    return any(share.stop - share.start == 1 for share in shares)
