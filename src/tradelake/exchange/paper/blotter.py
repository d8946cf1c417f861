"""The paper account's orders by every name they have, and what became of each. No I/O."""

from __future__ import annotations

import uuid
from decimal import Decimal

from tradelake.exchange.assets import ListedAsset
from tradelake.exchange.paper.activities import Activity, activities_of
from tradelake.exchange.paper.asks import Ask
from tradelake.exchange.paper.market import PaperMarket
from tradelake.exchange.paper.orders import Event, PaperOrder, Update
from tradelake.exchange.paper.refusals import not_found
from tradelake.execution.layout import OrderType, Reason, Side, Status, TimeInForce
from tradelake.execution.state import Record


class Blotter:
    """Orders that came to the venue, their updates and activities.

    Parameters
    ----------
    market : PaperMarket
        Where they are filled.
    namespace : uuid.UUID
        Ids are made in it, in order of happening.
    """

    def __init__(self, market: PaperMarket, namespace: uuid.UUID) -> None:
        self._market = market
        self._namespace = namespace
        self._orders: dict[str, PaperOrder] = {}
        self._by_client: dict[str, PaperOrder] = {}
        self._by_row: dict[int, PaperOrder] = {}
        self._open: dict[int, PaperOrder] = {}
        self._held: dict[int, int] = {}
        self._changes = self._fills = self._ids = 0
        self._updates: list[Update] = []
        self.activities: list[Activity] = []

    def updates(self) -> list[Update]:
        """Return what happened since the last call, in order."""
        taken, self._updates = self._updates, []
        return taken

    def order(self, order_id: str) -> PaperOrder:
        """Return an order by its id.

        Raises
        ------
        Refused
            There is none.
        """
        found = self._orders.get(order_id)
        if found is None:
            raise not_found(f"order not found for {order_id}")
        return found

    def order_of_client(self, client_order_id: str) -> PaperOrder:
        """Return an order by the client's own id.

        Raises
        ------
        Refused
            There is none.
        """
        found = self._by_client.get(client_order_id)
        if found is None:
            raise not_found(f"order not found for {client_order_id}")
        return found

    def knows(self, client_order_id: str) -> bool:
        """Return whether a client's id is taken."""
        return client_order_id in self._by_client

    def orders(self) -> list[PaperOrder]:
        """Return every order, the oldest first."""
        return list(self._orders.values())

    def open(self) -> list[PaperOrder]:
        """Return those that may still fill, the oldest first."""
        return list(self._open.values())

    def relist(self, asset: ListedAsset) -> None:
        """Show an asset's open orders as it is listed now: by its new name where it has one."""
        for order in self._open.values():
            if order.asset.asset_id == asset.asset_id:
                order.asset = asset

    def accept(
        self, row: int, ask: Ask, asset: ListedAsset, replaces: PaperOrder | None = None
    ) -> PaperOrder:
        """Give an order that came to the venue its names, and take down what became of it."""
        number = self._market.number(asset)
        assert number is not None
        order_id = self._new_id("order")
        order = PaperOrder(
            order_id=order_id,
            row=row,
            ask=ask,
            asset=asset,
            unit=self._market.unit(number),
            created_ns=self._market.now_ns,
            client_order_id=ask.client_order_id or self._new_id("client"),
            quantity=ask.quantity,
            updated_ns=self._market.now_ns,
        )
        if replaces is not None:
            order.replaces, replaces.replaced_by = replaces.order_id, order_id
        self._orders[order_id] = order
        self._by_client[order.client_order_id] = order
        self._by_row[row] = self._open[row] = order
        self._size(order, self._market.order(row))
        self._tell("new", order, self._market.now_ns)
        self.take_down()
        return order

    def _size(self, order: PaperOrder, row: Record) -> None:
        if row["quantity"] > 0:
            order.quantity = int(row["quantity"]) * order.unit

    def take_down(self) -> None:
        """Tell of fills and ends that the core has and nobody was told of."""
        changes = self._market.changes
        if changes == self._changes:
            return
        self._changes = changes
        fills = self._market.machine.fills
        for place in range(self._fills, len(fills)):
            self._on_fill(fills[place])
        self._fills = len(fills)
        for order in [one for one in self._open.values() if self._has_ended(one)]:
            self._on_end(order)

    def _has_ended(self, order: PaperOrder) -> bool:
        return bool(self._market.order(order.row)["status"] >= Status.FILLED)

    def _on_fill(self, fill: Record) -> None:
        row = self._market.order(int(fill["order"]))
        order = self._by_row.get(int(fill["order"])) or self._order_of_venue(int(fill["order"]))
        number, bought = int(fill["symbol"]), fill["side"] > 0
        units = int(fill["quantity"])
        fee = int(fill["fee"]) if fill["fee_in_base"] else 0
        self._held[number] = self._held.get(number, 0) + (units - fee if bought else -units)
        order.filled += units
        order.value += int(fill["value"])
        order.fills += 1
        order.updated_ns = order.filled_ns = int(fill["ts_ns"])
        self._size(order, row)
        whole = row["status"] == Status.FILLED and order.fills == row["fills"]
        order.status = "filled" if whole else "partially_filled"
        event: Event = "fill" if whole else "partial_fill"
        price, quantity = Decimal(repr(float(fill["price"]))), units * order.unit
        update = self._tell(
            event,
            order,
            int(fill["ts_ns"]),
            price=price,
            quantity=quantity,
            position=self._held[number] * order.unit,
        )
        self.activities += activities_of(update, order, fill)
        if whole:
            self._open.pop(order.row, None)

    def _order_of_venue(self, row: int) -> PaperOrder:
        """Return the order of the venue's own that closed a position in an asset it delisted."""
        told = self._market.order(row)
        asset = self._market.assets[int(told["symbol"])]
        quantity = int(told["quantity"]) * self._market.unit(int(told["symbol"]))
        order_id = self._new_id("order")
        order = PaperOrder(
            order_id=order_id,
            row=row,
            ask=Ask(
                asset.symbol, Side(int(told["side"])), OrderType.MARKET, TimeInForce.GTC, quantity
            ),
            asset=asset,
            unit=self._market.unit(int(told["symbol"])),
            created_ns=int(told["submitted_ns"]),
            client_order_id=self._new_id("client"),
            quantity=quantity,
        )
        self._orders[order_id] = self._by_row[row] = order
        self._by_client[order.client_order_id] = order
        return order

    def _on_end(self, order: PaperOrder) -> None:
        row = self._market.order(order.row)
        del self._open[order.row]
        order.ended_ns = order.updated_ns = int(row["ended_ns"])
        if row["status"] == Status.REJECTED:
            order.status = "rejected"
        elif row["reason"] == Reason.REPLACED:
            order.status = "replaced"
        elif row["status"] == Status.FILLED:
            order.status = "filled"
            return
        else:
            order.status = "canceled"
        self._tell(order.status, order, order.ended_ns)

    def _tell(
        self,
        event: Event,
        order: PaperOrder,
        ts_ns: int,
        *,
        price: Decimal | None = None,
        quantity: Decimal | None = None,
        position: Decimal | None = None,
    ) -> Update:
        update = Update(
            event, self._new_id("execution"), ts_ns, order.body(), price, quantity, position
        )
        self._updates.append(update)
        return update

    def _new_id(self, kind: str) -> str:
        self._ids += 1
        return str(uuid.uuid5(self._namespace, f"{kind} {self._ids}"))
