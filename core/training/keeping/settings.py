"""What a training keeps of the champion, and where it starts from."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ...settings import Setting

if TYPE_CHECKING:  # torch loads for seconds
    import torch

    from .champion import ChampionUpdate
    from .fisher import Fisher

Start = Literal["scratch", "champion"]


class Ewc(Setting):
    """Elastic weight consolidation: weights that the champion's answers hang on are held where the champion has them.

    Adds strength / 2 × Σ_ij F_ij (ΔW_ij − ΔW*_ij)² to the loss of a step, in nats: ΔW is the update that is trained,
    ΔW* the champion's, F how much the champion's answers change with each weight, 1 on average (Kirkpatrick et al.
    2017; on the whole update of a LoRA, Zheng et al. 2026).
    """

    kind: Literal["ewc"] = "ewc"
    needs: ClassVar[str] = "replayed or rehearsal"
    strength: float = Field(1.0, gt=0, le=1e6, description="how firmly; the loss for forgetting grows with it")
    rows: int = Field(
        64, ge=1, le=10_000, description="how many replayed and rehearsal samples tell which weights count, half each"
    )

    def __call__(self, network: Any, champion: "ChampionUpdate", fisher: "Fisher") -> "torch.Tensor":
        """What the step's loss grows by, a scalar in nats."""
        from .penalty import distance

        return self.strength / 2 * distance(network, champion, fisher)


class ChampionKl(Setting):
    """On replayed samples the candidate is to answer with the probabilities that the champion answers with.

    Adds strength × KL(champion ‖ candidate) at each token of their answers, beside what is learnt from the token
    itself (dark experience replay, Buzzega et al. 2020, with a champion that is asked anew instead of kept logits).
    """

    kind: Literal["champion_kl"] = "champion_kl"
    needs: ClassVar[str] = "replayed"
    strength: float = Field(1.0, gt=0, le=1e6, description="weight of the divergence beside the sample's own loss")

    def __call__(
        self, model: Any, network: Any, champion: "ChampionUpdate", row: dict[str, "torch.Tensor"]
    ) -> "torch.Tensor":
        """Loss of each completion token (T,) of a row of replayed samples, in nats."""
        from .divergence import replay_losses

        return replay_losses(model, network, champion, row, self.strength)


Keep = Annotated[Ewc | ChampionKl, Field(discriminator="kind")]


def as_list(keep: Any) -> Any:
    """`keep` as it may stand in a file, `none`, one component or a list of them, as the list that it means."""
    if isinstance(keep, dict):
        keep = [keep]
    if keep is None or keep == "none":
        return []
    if isinstance(keep, list | tuple):
        return [one for one in keep if one not in ("none", {"kind": "none"})]
    return keep


def once_each(keep: tuple[Keep, ...]) -> tuple[Keep, ...]:
    """`keep` itself. Raises ValueError where a kind stands twice, of which one strength could only mislead."""
    kinds = [one.kind for one in keep]
    if twice := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        raise ValueError(f"`{twice[0]}` stands there twice; keep one of them")
    return keep
